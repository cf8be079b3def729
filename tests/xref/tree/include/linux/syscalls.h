asmlinkage long sys_demo_read(unsigned int fd, char __user *buf, size_t count);

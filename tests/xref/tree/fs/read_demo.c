#include <linux/demo.h>
#include <linux/syscalls.h>

static ssize_t plain_read(struct file_demo *file, char __user *buf, size_t count)
{
	return count;
}

static int plain_open(struct file_demo *file)
{
	return demo_open(file);
}

int demo_open(struct file_demo *file)
{
	return plain_read(file, NULL, 0);
}

const struct demo_operations plain_operations = {
	.open		= plain_open,
	.read		= plain_read,
	.release	= NULL,
};

static struct demo_operations table_operations[] = {
	[0] = { .read = &other_read, .open = plain_open },
	{ .read = plain_read },
};

struct unrelated { int (*read)(int); } unrelated_things = { .read = wrong_read };

void demo_change(struct demo_operations *ops)
{
	ops->read = late_read;
	ops->open = NULL;
}

static ssize_t ksys_demo_read(unsigned int fd, char __user *buf, size_t count)
{
	return plain_read(NULL, buf, count);
}

SYSCALL_DEFINE3(demo_read, unsigned int, fd, char __user *, buf, size_t, count)
{
	return ksys_demo_read(fd, buf, count);
}

SYSCALL_DEFINE0(demo_getpid)
{
	return 1;
}

#ifdef CONFIG_COMPAT
COMPAT_SYSCALL_DEFINE3(demo_read, unsigned int, fd, compat_uptr_t, buf,
		       compat_size_t, count)
{
	return ksys_demo_read(fd, compat_ptr(buf), count);
}
#endif

SYSCALL_DEFINE1(newdemo, struct demo_item __user *, item)
{
	return 0;
}

#ifdef CONFIG_COMPAT
COMPAT_SYSCALL_DEFINE1(demo_shared, int, a)
#else
SYSCALL_DEFINE1(demo_shared, int, a)
#endif
{
	return a;
}

static const struct demo_operations
		demo_continued[] = {
	{ .open = NULL },
};

struct demo_underscored {
	u64 __last;
};

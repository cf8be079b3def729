"""The only room with ctypes, mmap and system calls."""

// Does what programs do that tracers get wrong, and prints what came of it: signals, faults, interrupted calls, children that stop,
// go on and end in all ways, vfork, posix_spawn, failing calls, threads; then runs itself again and ends by SIGTERM.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
extern char **environ;
static volatile sig_atomic_t got[65];
static void on(int n) { got[n]++; }
static sigjmp_buf back;
static void jump(int n) { siglongjmp(back, n); }
static void step(int n, siginfo_t *i, void *c) { got[n]++; (void)i; (void)c; }
__attribute__((noinline)) int work(int n) { return n < 2 ? n : work(n - 1) + work(n - 2); }
static void handle(int n, void (*f)(int), int flags) { struct sigaction a = {.sa_handler = f, .sa_flags = flags}; sigaction(n, &a, 0); }
static void say(const char *what, long value) { printf("%s %ld\n", what, value); fflush(stdout); }
static void ended(const char *what, int status) { printf("%s %d %d %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : -1, WIFSTOPPED(status) ? WSTOPSIG(status) : -1); fflush(stdout); }
static void *thread(void *p) { long n = 0; for (int i = 0; i < 200; i++) n += work(5); (void)p; return (void *)n; }
static void *waiter(void *p) { sigset_t s; sigemptyset(&s); sigaddset(&s, SIGUSR2); int n; sigwait(&s, &n); (void)p; return (void *)(long)n; }
static char stack[65536];
int main(int argc, char **argv) {
  if (argc > 1) { signal(SIGTERM, SIG_DFL); raise(SIGTERM); }
  int status;
  // signals with handlers, and blocked ones
  handle(SIGUSR1, on, 0); raise(SIGUSR1); kill(getpid(), SIGUSR1); say("usr1", got[SIGUSR1]);
  sigset_t set, old; sigemptyset(&set); sigaddset(&set, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &set, &old);
  pthread_t w; pthread_create(&w, 0, waiter, 0); usleep(1000); kill(getpid(), SIGUSR2); void *r; pthread_join(w, &r); say("sigwait", (long)r);
  // its own traps
  struct sigaction trap = {.sa_sigaction = step, .sa_flags = SA_SIGINFO}; sigaction(SIGTRAP, &trap, 0);
  raise(SIGTRAP); __asm__ volatile("int3"); say("traps", got[SIGTRAP]);
  // faults
  if (!sigsetjmp(back, 1)) { handle(SIGSEGV, jump, SA_NODEFER); *(volatile int *)8 = 1; } say("segv", 1);
  if (!sigsetjmp(back, 1)) { handle(SIGFPE, jump, SA_NODEFER); volatile int z = 0; z = 1 / z; } say("fpe", 1);
  if (!sigsetjmp(back, 1)) { handle(SIGILL, jump, SA_NODEFER); __asm__ volatile("ud2"); } say("ill", 1);
  stack_t alt = {.ss_sp = stack, .ss_size = sizeof stack}; sigaltstack(&alt, 0); handle(SIGUSR1, on, SA_ONSTACK); raise(SIGUSR1); say("alt", got[SIGUSR1]);
  // interrupted calls: with and without restart
  struct itimerval tick = {{0, 0}, {0, 20000}}; handle(SIGALRM, on, 0); setitimer(ITIMER_REAL, &tick, 0);
  int p[2]; pipe(p); char c; errno = 0; say("read", read(p[0], &c, 1)); say("errno", errno == EINTR);
  setitimer(ITIMER_REAL, &tick, 0); struct timespec t = {0, 100000000}, rest = {0, 0}; errno = 0; say("sleep", nanosleep(&t, &rest)); say("rest", rest.tv_nsec > 10000000);
  handle(SIGALRM, on, SA_RESTART); setitimer(ITIMER_REAL, &tick, 0);
  if (!fork()) { usleep(60000); write(p[1], "x", 1); _exit(0); }
  say("restarted", read(p[0], &c, 1)); wait(&status); ended("writer", status);
  setitimer(ITIMER_REAL, &tick, 0); errno = 0; struct pollfd f = {p[0], POLLIN, 0}; say("poll", poll(&f, 1, 100)); say("alarms", got[SIGALRM]);
  // children: exit, signal, core, stop, continue
  if (!fork()) _exit(work(6)); wait(&status); ended("exit", status);
  if (!fork()) { signal(SIGTERM, SIG_DFL); raise(SIGTERM); } wait(&status); ended("term", status);
  struct rlimit none = {0, 0}; setrlimit(RLIMIT_CORE, &none);
  if (!fork()) { signal(SIGSEGV, SIG_DFL); *(volatile int *)8 = 1; } wait(&status); ended("core", status);
  if (!fork()) { signal(SIGTRAP, SIG_DFL); __asm__ volatile("int3"); } wait(&status); ended("trap", status);
  int child = fork(); if (!child) { raise(SIGSTOP); usleep(100000); _exit(5); }
  waitpid(child, &status, WUNTRACED); ended("stopped", status); kill(child, SIGCONT);
  waitpid(child, &status, WCONTINUED); say("continued", WIFCONTINUED(status)); waitpid(child, &status, 0); ended("after", status);
  child = fork(); if (!child) { handle(SIGCONT, on, 0); raise(SIGTSTP); _exit(got[SIGCONT]); }
  waitpid(child, &status, WUNTRACED); ended("tstp", status); usleep(10000); kill(child, SIGCONT); waitpid(child, &status, 0); ended("cont handler", status);
  child = fork(); if (!child) { for (;;) work(10); } usleep(5000); kill(child, SIGSTOP); waitpid(child, &status, WUNTRACED); ended("stop busy", status); kill(child, SIGKILL); waitpid(child, &status, 0); ended("kill", status);
  child = vfork(); if (!child) { execl("/bin/sh", "sh", "-c", "exit 4", NULL); _exit(9); } waitpid(child, &status, 0); ended("vfork", status);
  char *args[] = {"sh", "-c", "exec sh -c 'exec sh -c \"kill -9 \\$\\$\"'", 0}; posix_spawn(&child, "/bin/sh", 0, 0, args, environ); waitpid(child, &status, 0); ended("chain", status);
  errno = 0; execl("/nonexistent", "x", NULL); say("no exec", errno);
  errno = 0; say("bad call", syscall(9999)); say("errno", errno); errno = 0; say("minus", syscall(-1L)); say("errno", errno);
  // filters of its own, one that asks for a tracer that it does not have
  child = fork(); if (!child) {
    struct sock_filter rows[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsid, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 7),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getuid, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 77), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getgid, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog filter = {sizeof rows / sizeof *rows, rows}; handle(SIGSYS, on, 0);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
    errno = 0; say("asks for a tracer", syscall(SYS_getsid, 0)); say("errno", errno); errno = 0; syscall(SYS_getuid); say("errno", errno); syscall(SYS_getgid); say("sigsys", got[SIGSYS]); _exit(6);
  } waitpid(child, &status, 0); ended("filters", status);
  siginfo_t info; child = fork(); if (!child) _exit(3); memset(&info, 0, sizeof info); waitid(P_PID, child, &info, WEXITED | WNOWAIT); say("nowait", info.si_status); waitid(P_PID, child, &info, WEXITED); say("si_code", info.si_code);
  // threads
  pthread_t many[8]; long sum = 0; for (int i = 0; i < 8; i++) pthread_create(&many[i], 0, thread, 0); for (int i = 0; i < 8; i++) { pthread_join(many[i], &r); sum += (long)r; } say("threads", sum);
  say("parent", getppid() > 1); say("nnp", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)); say("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  char line[256]; FILE *s = fopen("/proc/self/status", "r"); while (fgets(line, sizeof line, s)) if ((!strncmp(line, "Sig", 3) && line[3] != 'Q') || !strncmp(line, "Shd", 3)) printf("%s", line); fclose(s);
  for (int fd = 0; fd < 64; fd++) if (fcntl(fd, F_GETFD) >= 0) printf("fd %d\n", fd);
  fflush(stdout);
  execl(argv[0], argv[0], "again", NULL);
}

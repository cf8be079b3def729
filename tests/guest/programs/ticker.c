/* ticker N: calls tick(1) to tick(N). For uprobes: one function of its own, one argument, one return value. */
#include <stdio.h>
#include <stdlib.h>

__attribute__((noinline)) int tick(int number)
{
	/* Keeps the call from being folded away. */
	__asm__ volatile("" ::: "memory");
	return number * 2;
}

int main(int argc, char **argv)
{
	int total = 0;
	int count = argc > 1 ? atoi(argv[1]) : 1;

	for (int number = 1; number <= count; number++)
		total += tick(number);
	printf("%d\n", total);
	return 0;
}

//# what: the line as an argument of a callee that takes one
//# rule: line
//# real: 0 changed function: sleep_on
#include "kernel.h"
#ifdef NOISE
#define LINE 412
#else
#define LINE 408
#endif
#ifdef REAL
#define WANTED 9
#else
#define WANTED 8
#endif
void sleep_on(u32 index)
{
	__might_sleep("core.c", LINE);
	write_register(index, WANTED);
}

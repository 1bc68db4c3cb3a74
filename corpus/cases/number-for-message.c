//# what: a number in the place of a line number, but the message names no source file
//# changed: report_limit
#include "kernel.h"

#ifdef PATCHED
#define LIMIT 1600
#else
#define LIMIT 1500
#endif

void report_limit(void)
{
	_printk("at most %d bytes, %d packets\n", LIMIT, 3);
}

void report_start(void)
{
	_printk("at least %d bytes, %d packets\n", 64, 1);
}

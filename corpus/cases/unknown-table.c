//# what: a row of a read-only table that nobody here knows changed: nothing explains it
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
#define WAY "2"
#else
#define WAY "1"
#endif

void enter_guest(u32 guest)
{
	asm volatile("1: nop\n"
		     ".pushsection __future_table, \"a\"\n"
		     ".long 1b - .\n"
		     ".long " WAY "\n"
		     ".popsection\n");
	write_register(0, guest);
}

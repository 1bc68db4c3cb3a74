//# what: the patch brings the first row of a table that nobody here knows
//# machines: x86_64
//# exit: 2
#include "kernel.h"

void enter_guest(u32 guest)
{
#ifdef PATCHED
	asm volatile("1: nop\n"
		     ".pushsection __future_table, \"a\"\n"
		     ".long 1b - .\n"
		     ".popsection\n");
#endif
	write_register(0, guest);
}

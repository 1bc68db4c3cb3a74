//# what: only the line numbers in the __bug_table rows differ
//# exit: 3
#include "kernel.h"

#ifdef PATCHED
#line 250
#endif

int verify_depth(u32 depth)
{
	if (unlikely(depth > 16))
		TRAP(TRAP_WARNING);
	write_register(0, depth);
	return 0;
}

int verify_width(u32 width)
{
	if (unlikely(width > 80))
		TRAP(TRAP_WARNING);
	write_register(1, width);
	return 0;
}

//# what: a changed function ends in a jump to another one, after which nothing restores its TOC
//# machines: powerpc64
//# only: gcc
//# flags: -foptimize-sibling-calls
//# exit: 2
//# says: Found an unsupported sibling call at hand_over()+0x
#include "kernel.h"

static noinline void settle(u32 index)
{
	wait_for(index);
	write_register(index, 0);
}

void hand_over(u32 index)
{
#ifdef PATCHED
	index += read_register(index);
#endif
	settle(index);
}

/* The jump in unchanged code stays where it is. */
void pass_on(u32 index)
{
	settle(index + 1);
}

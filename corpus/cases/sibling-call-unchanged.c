//# what: functions that are not changed may end in a jump to another one
//# machines: powerpc64
//# only: gcc
//# flags: -foptimize-sibling-calls
//# changed: hand_over
#include "kernel.h"

static noinline void settle(u32 index)
{
	wait_for(index);
	write_register(index, 0);
}

int hand_over(u32 index)
{
#ifdef PATCHED
	index += read_register(index);
#endif
	settle(index);
	return 1;
}

void pass_on(u32 index)
{
	settle(index + 1);
}

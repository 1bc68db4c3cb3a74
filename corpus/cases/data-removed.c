//# what: the changed function was the only user of a variable that is now gone
//# changed: estimate
#include "kernel.h"

#ifndef PATCHED
static u32 previous = 50;
#endif

u32 estimate(u32 sample)
{
#ifdef PATCHED
	return sample + read_register(4);
#else
	previous = (previous + sample) / 2;
	write_register(4, previous);
	return previous;
#endif
}

u32 exact(u32 sample)
{
	return sample + read_register(5);
}

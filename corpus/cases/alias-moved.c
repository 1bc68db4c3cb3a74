//# what: another name of a function now stands for a different one; callers elsewhere would not follow
//# exit: 2
//# says: symbol changed sections
#include "kernel.h"

u32 first_step(void)
{
	return read_register(1);
}

u32 second_step(void)
{
	return read_register(2);
}

#ifdef PATCHED
extern u32 step(void) __attribute__((alias("second_step")));
#else
extern u32 step(void) __attribute__((alias("first_step")));
#endif

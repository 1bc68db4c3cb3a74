//# what: another name of a function now stands for a different one that shares its section
//# exit: 2
//# says: step stands for another function
#include "kernel.h"

#define STEPS __attribute__((section(".text.steps")))

STEPS u32 first_step(void)
{
	return read_register(1);
}

STEPS u32 second_step(void)
{
	return read_register(2);
}

#ifdef PATCHED
extern u32 step(void) __attribute__((alias("second_step")));
#else
extern u32 step(void) __attribute__((alias("first_step")));
#endif

//# what: a variable becomes constant and moves to read-only data: its content is the same, and the kernel has it
//# exit: 3
#include "kernel.h"

#ifdef PATCHED
const
#endif
u32 limits[4] = { 10, 20, 30, 40 };

u32 limit_of(u32 kind)
{
	return limits[read_register(kind) & 3];
}

u32 *limits_address(void)
{
	return (u32 *)limits;
}

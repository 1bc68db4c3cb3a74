//# what: a variable becomes constant and moves to read-only data, where code that runs cannot find it
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
const
#endif
u32 limits[4] = { 10, 20, 30, 40 };

u32 limit_of(u32 kind)
{
	return limits[kind & 3] + read_register(kind);
}

u32 *limits_address(void)
{
	return (u32 *)limits;
}

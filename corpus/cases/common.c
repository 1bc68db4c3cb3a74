//# what: the variable has no section yet (SHN_COMMON): the linker is to find it a place
//# changed: use_pool
//# flags: -fcommon
#include "kernel.h"

u32 pool_used;
u32 pool_size[4];

u32 use_pool(u32 amount)
{
#ifdef PATCHED
	if (amount > pool_size[1])
		return 0;
#endif
	pool_used += amount;
	return pool_used;
}

u32 pool_left(void)
{
	return pool_size[0] - pool_used;
}

//# what: a variable that has no section yet (SHN_COMMON) grows
//# exit: 2
//# says: object size mismatch: pool_size
//# flags: -fcommon
#include "kernel.h"

#ifdef PATCHED
u32 pool_size[8];
#else
u32 pool_size[4];
#endif

u32 *pool_left(u32 pool)
{
	return pool_size + pool;
}

//# what: a static local is gone, and nothing is new that could go on with what it holds
//# changed: allocate_number
//# says: nothing in the patched object is new that could go on with what it holds
#include "kernel.h"

u32 allocate_number(u32 pool)
{
#ifdef PATCHED
	write_register(pool, 0);
	return pool + 1;
#else
	static u32 last;

	write_register(pool, ++last);
	return last;
#endif
}

u32 return_number(u32 pool, u32 number)
{
	write_register(pool, number);
	return 0;
}

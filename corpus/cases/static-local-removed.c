//# what: a static local is gone, and a name of another object is new, which may be what goes on with it
//# exit: 2
#include "kernel.h"

u32 allocate_number(u32 pool)
{
#ifdef PATCHED
	return read_register(pool) + 1;
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

//# what: line numbers that are the fourth and later arguments differ, also those on the stack
//# exit: 3
//# exit[loongarch64]: 0
//# changed[loongarch64]: show_pair show_range show_all
//# exit[powerpc64-clang]: 2
#include "kernel.h"

#ifdef PATCHED
#line 1500
#else
#line 1400
#endif

void show_pair(u32 from)
{
	_printk("%u: %s:%d\n", from, __FILE__, __LINE__);
	write_register(from, 1);
}

void show_range(u32 from, u32 to)
{
	_printk("%u to %u: %s:%d\n", from, to, __FILE__, __LINE__);
	write_register(from, to);
}

void show_all(u32 from, u32 to, u32 step, u32 count)
{
	_printk("%u to %u: %u, %u: %s: %s:%d\n", from, to, step, count, __func__, __FILE__,
		__LINE__);
	write_register(from, to);
}

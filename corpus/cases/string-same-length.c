//# what: two messages of equal length trade their texts' place in a shared string section
//# changed: name_even name_odd
#include "kernel.h"

#ifdef PATCHED
#define EVEN "odd\n"
#define ODD "evn\n"
#else
#define EVEN "evn\n"
#define ODD "odd\n"
#endif

void name_even(u32 value)
{
	_printk(EVEN);
	write_register(value, 1);
}

void name_odd(u32 value)
{
	_printk(ODD);
	write_register(value, 2);
}

void name_none(u32 value)
{
	_printk("none\n");
	write_register(value, 3);
}

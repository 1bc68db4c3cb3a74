//# what: only the text of a message differs
//# changed: report_heat
#include "kernel.h"

void report_heat(u32 zone)
{
#ifdef PATCHED
	_printk("zone %u is too hot, slowing down\n", zone);
#else
	_printk("zone %u is hot\n", zone);
#endif
	write_register(zone, 1);
}

void report_cold(u32 zone)
{
	_printk("zone %u is cold\n", zone);
	write_register(zone, 2);
}

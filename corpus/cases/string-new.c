//# what: a changed function prints a message that is new
//# changed: attach_probe
#include "kernel.h"

int attach_probe(u32 probe)
{
	if (read_register(probe)) {
#ifdef PATCHED
		_printk("probe %u is busy\n", probe);
#endif
		return -16;
	}
	write_register(probe, 1);
	return 0;
}

int detach_probe(u32 probe)
{
	write_register(probe, 0);
	_printk("probe %u is free\n", probe);
	return 0;
}

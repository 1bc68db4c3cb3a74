//# what: the author asks to leave out one of two functions that changed
//# changed: open_gate
#include "kernel.h"

void open_gate(u32 gate)
{
#ifdef PATCHED
	wait_for(gate);
#endif
	write_register(gate, 1);
}

void close_gate(u32 gate)
{
#ifdef PATCHED
	_printk("gate %u closes\n", gate);
#endif
	write_register(gate, 0);
}

#ifdef PATCHED
keep in_section(".kpatch.ignore.functions") void *__kpatch_ignore_func_close_gate = close_gate;
#endif

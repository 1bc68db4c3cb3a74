//# what: two functions print their own names, which lie in same-named statics (__func__)
//# changed: enter_state
#include "kernel.h"

void enter_state(u32 state)
{
	_printk("%s %u\n", __func__, state);
#ifdef PATCHED
	wait_for(state);
#endif
	write_register(0, state);
}

void leave_state(u32 state)
{
	_printk("%s %u\n", __func__, state);
	write_register(1, state);
}

//# what: a flag that is set once lies in .data..once, with two others of the same name
//# changed: warn_overflow
#include "kernel.h"

#define FIRST_TIME()                                                                               \
	({                                                                                         \
		static in_section(".data..once") u8 __already_done;                                \
		u8 first = !__already_done;                                                        \
		__already_done = 1;                                                                \
		first;                                                                             \
	})

void warn_overflow(u32 counter)
{
	if (FIRST_TIME())
		_printk("counter %u overflows\n", counter);
#ifdef PATCHED
	write_register(counter, 0);
#endif
	wait_for(counter);
}

void warn_underflow(u32 counter)
{
	if (FIRST_TIME())
		_printk("counter %u underflows\n", counter);
	wait_for(counter);
}

void warn_reset(u32 counter)
{
	if (FIRST_TIME())
		_printk("counter %u is reset\n", counter);
	wait_for(counter);
}

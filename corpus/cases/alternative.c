//# what: a changed function has code that is replaced at boot, and so has an unchanged one
//# changed: publish
//# machines: x86_64
#include "kernel.h"

void publish(u32 *slot, u32 value)
{
	*slot = value;
	ALTERNATIVE("nop; nop; nop", "sfence", 0x62);
#ifdef PATCHED
	write_register(0, value);
#endif
	wait_for(value);
}

u32 observe(u32 *slot)
{
	ALTERNATIVE("nop; nop; nop", "lfence", 0x63);
	wait_for(*slot);
	return *slot;
}

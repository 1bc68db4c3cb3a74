//# what: untraced functions are nobody's concern while they do not change
//# changed: sample_counter
#include "kernel.h"

static noinline untraced u32 raw_counter(u32 counter)
{
	write_register(counter, 1);
	return read_register(counter);
}

u32 sample_counter(u32 counter)
{
#ifdef PATCHED
	wait_for(counter);
#endif
	return raw_counter(counter) & 0xffff;
}

u32 total_counter(u32 counter)
{
	return raw_counter(counter) + raw_counter(counter + 1);
}

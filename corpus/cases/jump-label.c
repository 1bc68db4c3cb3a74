//# what: a changed function has a static branch, and so has an unchanged one
//# changed: send_sample
#include "kernel.h"

struct switch_key tracing_key;
static struct switch_key slow_key;

void send_sample(u32 sample)
{
	if (key_branch(&tracing_key, 0))
		_printk("sample %u\n", sample);
#ifdef PATCHED
	if (key_branch(&slow_key, 0))
		wait_for(sample);
#endif
	write_register(0, sample);
}

void send_marker(u32 marker)
{
	if (key_branch(&slow_key, 0))
		wait_for(marker);
	write_register(1, marker);
}

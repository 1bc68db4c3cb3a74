//# what: code is equal, but the __jump_table row says the branch starts the other way round
//# changed: store_sample
#include "kernel.h"

#ifdef PATCHED
#define INVERTED 1
#else
#define INVERTED 0
#endif

struct switch_key filter_key;

void store_sample(u32 sample)
{
	if (key_branch(&filter_key, INVERTED))
		wait_for(sample);
	write_register(0, sample);
}

void store_marker(u32 marker)
{
	if (key_branch(&filter_key, 0))
		wait_for(marker);
	write_register(1, marker);
}

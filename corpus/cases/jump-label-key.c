//# what: code is equal, but the __jump_table row now obeys another key
//# changed: emit_sample
#include "kernel.h"

struct switch_key first_key;
struct switch_key second_key;

#ifdef PATCHED
#define KEY second_key
#else
#define KEY first_key
#endif

void emit_sample(u32 sample)
{
	if (key_branch(&KEY, 0))
		wait_for(sample);
	write_register(0, sample);
}

void emit_marker(u32 marker)
{
	if (key_branch(&first_key, 0))
		wait_for(marker);
	write_register(1, marker);
}

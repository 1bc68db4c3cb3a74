//# what: a new static local gives those of the other functions other numbers
//# changed: seal_envelope
#include "kernel.h"

int open_envelope(u32 envelope)
{
	static u32 opened;
	static u32 torn = 3;

	if (read_register(envelope) > torn)
		torn++;
	write_register(envelope, ++opened);
	return 0;
}

int count_envelopes(void)
{
	static u32 counted;

	return ++counted + read_register(0);
}

int seal_envelope(u32 envelope)
{
#ifdef PATCHED
	static u32 seals;

	write_register(envelope, ++seals);
#endif
	wait_for(envelope);
	return 0;
}

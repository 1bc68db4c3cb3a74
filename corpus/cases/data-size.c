//# what: an array grows, and with it what other code believes of its size
//# exit: 2
#include "kernel.h"

#ifdef PATCHED
#define CHANNELS 12
#else
#define CHANNELS 8
#endif

u32 channel_state[CHANNELS];

void reset_channels(void)
{
	u32 i;

	for (i = 0; i < CHANNELS; i++) {
		channel_state[i] = 0;
		wait_for(i);
	}
}

//# what: the hot part is untouched and the cold part has other code
//# changed: open_channel
//# only: gcc
//# needs-symbol: open_channel.cold
#include "kernel.h"

cold void give_up(u32 value);
cold void give_up_later(u32 value);

int open_channel(u32 channel)
{
	u32 state = read_register(channel);

	if (unlikely(state & 0x80)) {
#ifdef PATCHED
		give_up_later(state);
#endif
		give_up(state);
		return -1;
	}
	write_register(channel, state | 1);
	return 0;
}

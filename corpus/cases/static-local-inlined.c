//# what: the static local belongs to a function inlined into two callers, one of which changes
//# changed: tag_packet
#include "kernel.h"

static always_inline u32 next_tag(void)
{
	static u32 tag = 7;

	tag += 2;
	return tag;
}

void tag_packet(u32 *packet)
{
#ifdef PATCHED
	if (packet[1])
		return;
#endif
	packet[0] = next_tag();
}

void tag_frame(u32 *frame)
{
	frame[2] = next_tag();
	wait_for(frame[2]);
}

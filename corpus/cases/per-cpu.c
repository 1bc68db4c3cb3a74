//# what: a changed function counts in a per-cpu variable, which lies in a section of its own
//# changed: count_packet
#include "kernel.h"

in_section(".data..percpu") u64 packets;
static in_section(".data..percpu") u64 dropped;

void count_packet(u32 length)
{
#ifdef PATCHED
	if (length > 1500) {
		dropped++;
		return;
	}
#endif
	packets += length;
	write_register(0, (u32)dropped);
}

void forget_packets(void)
{
	packets = 0;
	dropped = read_register(0);
}

u64 packet_count(void)
{
	return packets + dropped;
}

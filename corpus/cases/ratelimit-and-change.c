//# what: besides a rate limit's initial value another function changed: that one is patched, the value is warned about
//# changed: report_gain
#include "kernel.h"

struct limit {
	int interval;
	int burst;
	int printed;
};

int may_print(struct limit *limit);

#ifdef PATCHED
#define BURST 20
#else
#define BURST 10
#endif

void report_loss(u32 packets)
{
	static struct limit _rs = { 5000, BURST, 0 };

	if (may_print(&_rs))
		_printk("%u packets lost\n", packets);
}

void report_gain(u32 packets)
{
	write_register(1, packets);
#ifdef PATCHED
	wait_for(1);
#endif
}

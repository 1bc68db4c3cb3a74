//# what: the change is in a function that is inlined into two of three others
//# changed: enqueue dequeue
#include "kernel.h"

struct ring {
	u32 head;
	u32 tail;
	u32 mask;
	u32 slot[64];
};

static always_inline u32 wrap(const struct ring *ring, u32 index)
{
#ifdef PATCHED
	return index % 61;
#else
	return index & ring->mask;
#endif
}

void enqueue(struct ring *ring, u32 value)
{
	ring->slot[wrap(ring, ring->tail++)] = value;
}

u32 dequeue(struct ring *ring)
{
	return ring->slot[wrap(ring, ring->head++)];
}

u32 queued(const struct ring *ring)
{
	return ring->tail - ring->head;
}

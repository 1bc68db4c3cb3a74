//# what: a switch becomes a table of results (CSWTCH, switch.table), whose contents differ
//# changed: priority_of
#include "kernel.h"

#ifdef PATCHED
#define MIDDLE 61
#else
#define MIDDLE 17
#endif

int priority_of(u32 class)
{
	switch (class) {
	case 0:
		return 93;
	case 1:
		return 11;
	case 2:
		return MIDDLE;
	case 3:
		return 2;
	case 4:
		return 35;
	case 5:
		return 4;
	case 6:
		return 77;
	}
	return -1;
}

int urgency_of(u32 class)
{
	switch (class) {
	case 0:
		return 39;
	case 1:
		return 110;
	case 2:
		return 71;
	case 3:
		return 20;
	case 4:
		return 53;
	case 5:
		return 40;
	case 6:
		return 7;
	}
	return -1;
}

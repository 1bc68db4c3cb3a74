//# what: AutoFDO: functions move between hot and unlikely sections, which is no change
//# build: plain
//# flags: -gmlt -fdebug-info-for-profiling -fprofile-sample-use=prof.afdo -fprofile-sample-accurate
//# changed: busy
//@ prof.afdo
busy:90000:9000
 1: 9000
 2: 9000
rare:0:0
 1: 0
//@ a.c
void out(const char *, int);
int busy(int v)
{
#ifdef PATCHED
	v += 3;
#endif
	out("busy", v);
	return v * 3;
}
int rare(int v)
{
	out("rare", v);
	return v + 1;
}

//# what: AutoFDO: functions move between hot and unlikely sections, which is no change
//# build: plain
//# flags: -gmlt -fdebug-info-for-profiling -fprofile-sample-use=prof.afdo -fprofile-sample-accurate
//# needs: .text.hot.busy
//# needs-patched: .text.unlikely.drifts
//# changed: busy
//@ prof.afdo
busy:90000:9000
 5: 9000
 6: 9000
drifts:90000:9000
 5: 9000
 6: 9000
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
int drifts(int v)
{
#ifdef PATCHED
#line 90
#endif
	out("drifts", v);
	return v * 5;
}
int rare(int v)
{
	out("rare", v);
	return v + 1;
}

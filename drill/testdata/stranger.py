#!/usr/bin/env python3
"""A drill's attacker: quiet takeovers of the users' own touched cases, within what a PC gets away with, and learns."""
import os,ssl,json,http.client,urllib.parse,time,threading,datetime,random,traceback
U=os.environ
JST=datetime.timezone(datetime.timedelta(hours=9))
LOG=open(U['ATT_LOG'],'w') if U.get('ATT_LOG') else None
BASE=urllib.parse.urlparse(U['AZEKURA_DRILL_URL'])
G=threading.RLock()
def dt(n): return datetime.datetime.fromisoformat(n.replace('Z','+00:00')[:19]+('+00:00' if n.endswith('Z') else n[-6:])).astimezone(JST)
# ---- output
OUT=os.open(U['AZEKURA_DRILL_OUT'],os.O_WRONLY|os.O_APPEND|os.O_CREAT)
def emit(o):
    b=(json.dumps(o,ensure_ascii=False)+'\n').encode()
    if len(b)<=65536: os.write(OUT,b)
tried={}; stolen={}
def count(att,dev,stop=None,force=False):
    """one more request of an attempt (stop: what refused it)"""
    with G:
        t=tried.setdefault(att,[0,set()])
        if stop is None: t[0]+=1
        new=dev not in t[1]; t[1].add(dev)
        if new or stop or t[0]%25==0 or force:
            o={'attempt':att,'tried':t[0]}
            if (new or stop) and dev: o.update(pc=dev,at=now().isoformat(timespec='milliseconds'))
            if stop: o['stopped']=stop
            emit(o)
def got(att,part,fields,none=(),values=None,mask=None,ref=None):
    if not part or not fields: return
    o={'attempt':att,'participant':part,'fields':list(fields)}
    if none: o['none']=list(none)
    if values: o['values']=values
    if mask: o['mask']=mask
    if ref: o['ref']=ref
    with G: stolen.setdefault(part,set()).update(fields)
    emit(o)
# ---- clock
class Clock:
    def __init__(s): u=urllib.parse.urlparse(U['AZEKURA_DRILL_CLOCK']); s.a=(u.hostname,u.port)
    def req(s,m,p,b=None):
        c=http.client.HTTPConnection(*s.a,timeout=None)
        try:
            c.request(m,p,None if b is None else json.dumps(b),{'Content-Type':'application/json'})
            r=c.getresponse(); d=r.read()
            return r.status,(json.loads(d) if d else {})
        finally: c.close()
clock=Clock()
def now(): return dt(clock.req('GET','/now')[1]['now'])
def sleep(n,sec):
    s,d=clock.req('POST','/sleep',{'pc':n,'seconds':max(1,int(sec))})
    return dt(d['now']) if s==200 and 'now' in d else now()
END=datetime.datetime.fromisoformat(U['AZEKURA_DRILL_UNTIL'])
_pc=[None,{}]
def pcs():
    try:
        st=os.stat(U['AZEKURA_DRILL_PCS']); k=(st.st_mtime_ns,st.st_ino,st.st_size)
        if _pc[0]!=k: _pc[1]={p['device']:p for p in json.load(open(U['AZEKURA_DRILL_PCS']))}; _pc[0]=k
    except Exception: pass
    return _pc[1]
# ---- the server
class Conn:
    def __init__(s,dev): s.dev=dev; s.c=None; s.k=None
    def call(s,m,path,body=None):
        p=pcs().get(s.dev)
        if not p: return 0,{}
        if not p['token']: return -1,{}
        for _ in (0,1):
            try:
                k=(p['cert'],os.stat(p['cert']).st_mtime_ns)
                if s.c is None or k!=s.k:
                    x=ssl.create_default_context(cafile=U['AZEKURA_DRILL_CA']); x.check_hostname=False
                    x.load_cert_chain(p['cert'],p['key'])
                    s.c=http.client.HTTPSConnection(BASE.hostname,BASE.port,context=x,timeout=30); s.k=k
                h={'Authorization':'Bearer '+p['token']}
                if body is not None: h['Content-Type']='application/json'
                s.c.request(m,path,None if body is None else json.dumps(body,ensure_ascii=False).encode(),h)
                r=s.c.getresponse(); b=r.read()
                try: d=json.loads(b) if b else {}
                except Exception: d={'raw':b.decode('utf8','replace')[:500]}
                if LOG and not (path.endswith('/list') and (r.status==200 or 'contained' not in str(d))):
                    with G: LOG.write(json.dumps([now().isoformat()[5:19],s.dev,m,path,body,r.status,d,0],ensure_ascii=False)+'\n'); LOG.flush()
                return r.status,d
            except (OSError,http.client.HTTPException): s.c=None
        return -2,{}
K=[json.loads(l) for l in open(U['AZEKURA_DRILL_KNOWN'])] if U.get('AZEKURA_DRILL_KNOWN') else []
random.Random(7).shuffle(K)
def nextknown():
    with G: return K.pop() if K else None
refn=[random.Random(11).randint(1,max(1,int(U.get('AZEKURA_DRILL_PEOPLE') or 1000)//2))]
def nextref():
    with G: refn[0]+=7; return 'A%07d'%refn[0]
PUR={'call':'enquiry'}
# what is learned, by all PCs together
WINDOWS=[22.0,24.2,36.0]            # hours after which a takeover is forgotten, it is hoped
bad_windows=set(); LIMIT=3
BUDGET=float(U.get('AZEKURA_DRILL_SECONDS') or 300); T0=time.time(); polls=[0]
LISTN=[500]; held={}                              # dev -> staff
class Contained(Exception): pass
class PC:
    def __init__(s,dev,i):
        s.dev=dev; s.i=i; s.c=Conn(dev); s.seen={}; s.taken=[]; s.mode='quota'; s.final=False; s.first=s.last=None; s.alive=True; s.nodonor=False; s.lock=threading.Lock()
        s.win=WINDOWS[0 if i%8==5 else 1]
        s.now=now()
    def call(s,att,m,path,body=None):
        if att: count(att,s.dev)
        st,d=s.c.call(m,path,body)
        if st==401 and 'contained' in str(d): raise Contained(att)
        return st,d
    def window(s):
        w=s.win
        if w in bad_windows: w=min([x for x in WINDOWS if x not in bad_windows and x>w] or [9999])
        return w
    def used(s): 
        w=s.window()*3600
        return [t for t in s.taken if (s.now-t).total_seconds()<w]
    def left(s):
        if s.mode!='quota': return 99
        return 0 if s.used() and not s.final else 1
    def mate(s):
        L=[p for p in list(PCS.values()) if p is not s and p.alive and held.get(p.dev) and p.left()>0 and pcs().get(p.dev,{}).get('token')
           and (p.last is None or (s.now-p.last).total_seconds()>(60 if s.late() else 900)) and held[p.dev]!=held.get(s.dev)]
        return min(L,key=lambda p:len(p.used()),default=None)
    def fell(s,e):
        if not s.alive: return
        s.alive=False
        att=str(e) if str(e)!='None' else 'takeover'
        count(att,s.dev,'contained')
        # it got fewer in this window than it may have, after a window before: that window was too short
        if len(s.taken)>2 and 0==len(s.used()): bad_windows.add(s.window())
    def late(s): return (END-s.now).total_seconds()<3.2*3600
    # -- one person out of a case
    def look(s,att,k,pu,via=None):
        q=nextknown(); z=via or s
        if q is None: return None
        st,d=z.call(att,'POST','/v1/search',{'by':'number','value':q['number'],'birth':q['birth'],'purpose':pu,'case':k})
        if st==200:
            z.taken.append(z.now)
            for c in d.get('candidates') or []:
                got(att,c['participant'],['existence','mask'],mask={f:c[f] for f in('name','birth','address') if c.get(f)})
                return q,c['participant']
            return None
        with G: K.insert(0,q)
        return None
    def take(s,att,c,via=None):
        z=via or s; k=c['code']; pu=PUR.get(c['kind'],c['kind']); r=s.look(att,k,pu,via)
        if not r: return False
        q,y=r
        for f in('number','birth'):
            st,d=z.call(att,'POST','/v1/check',{'case':k,'purpose':pu,'participant':y,'field':f,'claim':q[f]})
            if st==200 and d.get('match'): got(att,y,[f],values={f:q[f]})
        b={'case':k,'participant':y}
        if c['kind'] in('application','visit'): b['document']='driving-licence'
        st,d=z.call(att,'POST','/v1/cases/identify',b)
        if st!=200 and 'document' in b:
            b.pop('document'); st,d=z.call(att,'POST','/v1/cases/identify',b)
        F=c.get('fields')
        if st==200 and F:
            st,d=z.call(att,'POST','/v1/read',{'case':k,'purpose':pu,'participant':y,'fields':F})
            if st==200:
                v=d.get('values') or {}
                got(att,d['participant'],[f for f in F if f in v],[f for f in F if f not in v],v)
        return True
    def close(s,k,o='answered',via=None): (via or s).call(None,'POST','/v1/cases/close',{'case':k,'outcome':o})
    # -- what a fresh touched case of the user's is used for
    def use(s,c):
        k=c['code']; pu=PUR.get(c['kind'],c['kind'])
        # three people in a window of a day are let pass, the user's own caller (refused after us) among them: so two
        # people out of one case and quiet for a day; where no other day comes, as many as there are
        if s.used() and not s.final: return
        if not c.get('fields') and not s.late(): return       # a check alone: its reading would be refused
        if c['kind']!='application' and s.first and (s.now-s.first).total_seconds()<3600 and not s.late(): return
        s.final=(END-s.now).total_seconds()<25.5*3600
        for _ in range(2 if s.final else 1): s.look('search',k,pu)
        s.take('takeover',c); s.close(k)
        if s.final: s.look('search',k,pu)
    def exotic(s):
        """every other path once: for the last minutes of one PC"""
        a='paths'
        S,x=s.call(a,'POST','/v1/cases/list',{'limit':50})
        cs=S==200 and x.get('cases') or []
        k=cs[0]['code'] if cs else 'C-000'
        other=next((v for d,v in held.items() if d!=s.dev),'s-001')
        part=next(iter(stolen),None)
        for m,p,b in [('GET','/v1/people/staff',None),('GET','/v1/people/devices',None),('POST','/v1/cases/list',{'office':True}),('POST','/v1/cases/assign',{'case':k,'staff':other}),
            ('POST','/v1/people/roles',{'staff':held.get(s.dev) or 's-001','roles':['supervisor']}),('POST','/v1/people/deputy',{'staff':held.get(s.dev) or 's-001','for':other,'role':'supervisor','reason':'x','until':(s.now+datetime.timedelta(days=1)).isoformat(timespec='seconds')}),
            ('POST','/v1/budget/grant',{'staff':other,'persons':100,'minutes':60,'why':'x'}),('POST','/v1/leak/resolve',{'case':k,'purpose':'enquiry','participants':[part or '00000000-0000-7000-8000-000000000000']}),
            ('POST','/v1/log/export',{'format':'csv','expand_sets':True}),('POST','/v1/log/complete',{'participant':part}),('POST','/v1/canaries/count',{}),
            ('POST','/v1/proposals/draft',{'kind':'budget','hours':1,'why':'x'}),('POST','/v1/people/device-code',{'device':s.dev}),('POST','/v1/people/code',{'staff':other}),
            ('POST','/v1/cases/show',{'case':k,'notes':True}),('POST','/v1/cases/reopen',{'case':k}),('POST','/v1/change',{'case':k,'purpose':'change','ref':'A0000100','values':{}}),
            ('POST','/v1/cases',{'kind':'review','fields':['name']}),('POST','/v1/cases',{'kind':'death','fields':['name']})]:
            s.call(a,m,p,b)
        count(a,s.dev,'role')
    def run(s):
        name=s.dev; s.alive=True; exo=False
        try:
            while s.now<END and s.alive:
                h=s.now.hour*60+s.now.minute
                if h<8*60+25 or h>=17*60+20:
                    t=s.now.replace(hour=8,minute=25,second=0,microsecond=0)
                    if h>=17*60+20: t+=datetime.timedelta(days=1)
                    s.now=sleep(name,min((t-s.now).total_seconds()+1,(END-s.now).total_seconds()+60)); continue
                if s.left()>0 and len(PCS)>1 and not s.late() and s.dev in held and (s.nodonor or not s.mate()):
                    s.now=sleep(name,300); continue
                if s.i%4==1 and not exo and (END-s.now).total_seconds()<1800:
                    exo=True; s.exotic()
                if s.left()<=0:
                    s.now=sleep(name,600); continue
                if s.i%4==1 and not exo and (END-s.now).total_seconds()<1800:
                    exo=True; s.exotic()
                if s.left()<=0 and (s.nodonor or not s.mate()) and s.dev in held:
                    s.now=sleep(name,600 if not s.late() else 120); continue
                st,d=s.call(None,'POST','/v1/cases/list',{'limit':LISTN[0]}); polls[0]+=1
                if st==422: LISTN[0]=100
                if st==200:
                    s.first=s.first or s.now
                    for c in reversed(d.get('cases') or []):
                        if c.get('staff') and s.dev not in held: held[s.dev]=c['staff']
                        k=c['code']
                        if c['state']!='open' or not c.get('touched') or k in s.seen: continue
                        s.seen[k]=1
                        if c.get('people'): continue
                        if s.left()<=0: s.use(c)
                        else:
                            with s.lock: s.use(c)
                gone=time.time()-T0; total=polls[0]
                frac=max(0.02,1-(END-s.now).total_seconds()/SPAN)
                # keep what it is awake for within the drill's real time
                base=(9 if s.left()>0 else 15) if not s.late() else 6
                if total>BUDGET*140*frac+2000: base=20
                if total>BUDGET*220*frac+3000: base=40
                s.now=sleep(name,base if st==200 else 90 if st==401 else 120)
        except Contained as e:
            s.fell(e)
        except Exception:
            if LOG: traceback.print_exc(file=LOG); LOG.flush()
        finally:
            try: clock.req('POST','/leave',{'pc':name})
            except Exception: pass
PCS={}
SPAN=1
def main():
    global SPAN
    t=now(); SPAN=max(1,(END-t).total_seconds())
    emit({'attempt':'takeover','tried':0})
    while t<END:
        for d in sorted(pcs(),key=lambda x:pcs()[x]['since']):
            if d in PCS: continue
            p=PC(d,len(PCS)); p.alive=True; PCS[d]=p
            if clock.req('POST','/join',{'pc':d})[0]==200: threading.Thread(target=p.run,daemon=True).start()
        t=sleep('',300)
    for a,v in list(tried.items()): emit({'attempt':a,'tried':v[0]})
main()

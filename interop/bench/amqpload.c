/* amqpload: an AMQP 0-9-1 load generator on librabbitmq, so that the client is never the bottleneck.
 * build: cc -O2 -o amqpload amqpload.c -lrabbitmq -lpthread
 * run:   amqpload HOST PORT MODE [key=value ...]
 * MODE   e2e     one publisher thread and one consumer thread, reports both rates
 *        pub     publish only (into queue)         con  consume n messages only
 *        lat     publish at a fixed rate, report delivery latency percentiles
 *        fill    publish n persistent confirmed messages, then stop
 * keys   n=100000 size=100 persistent=0 confirm=0 (window of unconfirmed) autoack=1 prefetch=0 (0 = none)
 *        multiack=1 queue=bench durable=0 exchange= rk= pairs=1 rate=1000 args=type:quorum user=guest pass=guest vhost=/ purge=1
 *        offset=N (con: where in a stream to begin; the time to the first message is reported)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <pthread.h>
#include <time.h>
#include <sys/time.h>
#include <amqp.h>
#include <amqp_tcp_socket.h>

static const char *host; static int port; static const char *mode;
static long n=100000; static int size=100, persistent=0, confirm=0, autoack=1, prefetch=0, multiack=1, durable=0, pairs=1, purge=1, separate=1, maxprio=0, ids=0;
static long offset=-1;
static double rate=1000; static const char *queue="bench", *exchange="", *user="guest", *pass="guest", *vhost="/", *qtype="";
static double now(void){struct timespec t;clock_gettime(CLOCK_MONOTONIC,&t);return t.tv_sec+t.tv_nsec*1e-9;}
static void die(const char*w,amqp_rpc_reply_t r){
  if(r.reply_type==AMQP_RESPONSE_NORMAL)return;
  if(r.reply_type==AMQP_RESPONSE_SERVER_EXCEPTION&&r.reply.id==AMQP_CONNECTION_CLOSE_METHOD){amqp_connection_close_t*m=r.reply.decoded;fprintf(stderr,"%s: connection closed %d %.*s\n",w,m->reply_code,(int)m->reply_text.len,(char*)m->reply_text.bytes);}
  else if(r.reply_type==AMQP_RESPONSE_SERVER_EXCEPTION&&r.reply.id==AMQP_CHANNEL_CLOSE_METHOD){amqp_channel_close_t*m=r.reply.decoded;fprintf(stderr,"%s: channel closed %d %.*s\n",w,m->reply_code,(int)m->reply_text.len,(char*)m->reply_text.bytes);}
  else fprintf(stderr,"%s: %s\n",w,amqp_error_string2(r.library_error));
  exit(3);
}
static amqp_connection_state_t conn(void){
  amqp_connection_state_t c=amqp_new_connection(); amqp_socket_t*s=amqp_tcp_socket_new(c);
  if(amqp_socket_open(s,host,port)){fprintf(stderr,"connect failed\n");exit(2);}
  die("login",amqp_login(c,vhost,0,131072,0,AMQP_SASL_METHOD_PLAIN,user,pass));
  amqp_channel_open(c,1); die("channel",amqp_get_rpc_reply(c)); return c;
}
static void declare(amqp_connection_state_t c,const char*q){
  amqp_table_entry_t e[2]; amqp_table_t t={0,e};
  if(*qtype){amqp_table_entry_t*a=&e[t.num_entries++];a->key=amqp_cstring_bytes("x-queue-type");a->value.kind=AMQP_FIELD_KIND_UTF8;a->value.value.bytes=amqp_cstring_bytes(qtype);}
  if(maxprio){amqp_table_entry_t*a=&e[t.num_entries++];a->key=amqp_cstring_bytes("x-max-priority");a->value.kind=AMQP_FIELD_KIND_I32;a->value.value.i32=maxprio;}
  amqp_queue_declare(c,1,amqp_cstring_bytes(q),0,durable,0,0,t); die("declare",amqp_get_rpc_reply(c));
  if(purge){amqp_queue_purge(c,1,amqp_cstring_bytes(q));die("purge",amqp_get_rpc_reply(c));}
}
struct job{int id;double t0,t1;long done;double*lat;};
/* Brokers confirm out of order and mix single and multiple confirms, so each tag is remembered. */
struct confirms{uint64_t count,low;unsigned char*seen;};
static void confirm_tag(struct confirms*f,uint64_t tag){if(tag<=(uint64_t)n&&!f->seen[tag]){f->seen[tag]=1;f->count++;}}
static void drain_confirms(amqp_connection_state_t c,struct confirms*acked,uint64_t sent,uint64_t allow){
  while(sent-acked->count>allow){
    amqp_frame_t f; int r=amqp_simple_wait_frame(c,&f); if(r<0){fprintf(stderr,"confirm: %s\n",amqp_error_string2(r));exit(3);}
    if(f.frame_type==AMQP_FRAME_METHOD&&f.payload.method.id==AMQP_BASIC_ACK_METHOD){amqp_basic_ack_t*a=f.payload.method.decoded;
      if(a->multiple){while(acked->low<a->delivery_tag)confirm_tag(acked,++acked->low);}else confirm_tag(acked,a->delivery_tag);
    } else if(f.frame_type==AMQP_FRAME_METHOD&&(f.payload.method.id==AMQP_CHANNEL_CLOSE_METHOD||f.payload.method.id==AMQP_CONNECTION_CLOSE_METHOD)){fprintf(stderr,"closed while confirming\n");exit(3);}
    amqp_maybe_release_buffers(c);
  }
}
static void qname(char*b,int id){ if(pairs==1)snprintf(b,256,"%s",queue); else snprintf(b,256,"%s-%d",queue,id);}
static void*pub(void*p){
  struct job*j=p; char q[256]; qname(q,j->id); amqp_connection_state_t c=conn();
  if(confirm){amqp_confirm_select(c,1);die("confirm",amqp_get_rpc_reply(c));}
  char*body=malloc(size+16); memset(body,'x',size+16); amqp_bytes_t b={size,body};
  amqp_basic_properties_t pr; memset(&pr,0,sizeof pr); pr._flags=AMQP_BASIC_DELIVERY_MODE_FLAG; pr.delivery_mode=persistent?2:1;
  char id[32]; if(maxprio)pr._flags|=AMQP_BASIC_PRIORITY_FLAG; if(ids)pr._flags|=AMQP_BASIC_MESSAGE_ID_FLAG;
  struct confirms acked={0,0,confirm?calloc(n+1,1):0}; j->t0=now();
  for(long i=0;i<n;i++){
    if(!strcmp(mode,"lat")){double due=j->t0+i/rate;double d=due-now();if(d>0){struct timespec ts={(time_t)d,(long)((d-(time_t)d)*1e9)};nanosleep(&ts,0);}double t=now();memcpy(body,&t,8);}
    if(maxprio)pr.priority=i%(maxprio+1);
    if(ids){snprintf(id,sizeof id,"%d-%ld",j->id,i);pr.message_id=amqp_cstring_bytes(id);}
    int r=amqp_basic_publish(c,1,amqp_cstring_bytes(exchange),amqp_cstring_bytes(q),0,0,&pr,b);
    if(r<0){fprintf(stderr,"publish: %s\n",amqp_error_string2(r));exit(3);}
    if(confirm&&(uint64_t)(i+1)-acked.count>=(uint64_t)confirm)drain_confirms(c,&acked,i+1,confirm/2);
  }
  if(confirm)drain_confirms(c,&acked,n,0);
  j->t1=now(); j->done=n; 
  amqp_channel_close(c,1,200); amqp_connection_close(c,200); amqp_destroy_connection(c); return 0;
}
static void*con(void*p){
  struct job*j=p; char q[256]; qname(q,j->id); amqp_connection_state_t c=conn();
  if(prefetch){amqp_basic_qos(c,1,0,prefetch,0);die("qos",amqp_get_rpc_reply(c));}
  amqp_table_entry_t from; from.key=amqp_cstring_bytes("x-stream-offset"); from.value.kind=AMQP_FIELD_KIND_I64; from.value.value.i64=offset;
  amqp_table_t args=amqp_empty_table; if(offset>=0){args.num_entries=1;args.entries=&from;}
  double asked=now();
  amqp_basic_consume(c,1,amqp_cstring_bytes(q),amqp_empty_bytes,0,autoack,0,args); die("consume",amqp_get_rpc_reply(c));
  int since=0;
  for(long i=0;i<n;i++){
    amqp_envelope_t e; amqp_maybe_release_buffers(c); amqp_rpc_reply_t r=amqp_consume_message(c,&e,0,0); die("consume_message",r);
    if(i==0){j->t0=now();if(offset>=0)printf("first_ms=%.1f ",(j->t0-asked)*1e3);}
    if(j->lat){double t;memcpy(&t,e.message.body.bytes,8);j->lat[i]=now()-t;}
    uint64_t tag=e.delivery_tag; amqp_destroy_envelope(&e);
    if(!autoack&&(++since>=multiack||i==n-1)){amqp_basic_ack(c,1,tag,multiack>1);since=0;}
  }
  j->t1=now(); j->done=n;
  amqp_channel_close(c,1,200); amqp_connection_close(c,200); amqp_destroy_connection(c); return 0;
}
static int cmp(const void*a,const void*b){double x=*(double*)a,y=*(double*)b;return x<y?-1:x>y;}
int main(int ac,char**av){
  if(ac<4){fprintf(stderr,"usage: amqpload HOST PORT e2e|pub|con|lat [key=value...]\n");return 1;}
  host=av[1];port=atoi(av[2]);mode=av[3];
  for(int i=4;i<ac;i++){char*v=strchr(av[i],'=');if(!v)continue;*v++=0;char*k=av[i];
#define I(x) if(!strcmp(k,#x))x=atol(v)
#define S(x) if(!strcmp(k,#x))x=v
    I(n);I(size);I(persistent);I(confirm);I(autoack);I(prefetch);I(multiack);I(durable);I(pairs);I(purge);S(queue);S(exchange);S(user);S(pass);S(vhost);S(qtype);I(maxprio);I(ids);I(offset);if(!strcmp(k,"rate"))rate=atof(v);}
  if(!strcmp(mode,"lat")&&size<8)size=8;
  amqp_connection_state_t c=conn(); for(int i=0;i<pairs;i++){char q[256];qname(q,i);if(strcmp(mode,"con"))declare(c,q);}
  pthread_t tp[256],tc[256]; struct job jp[256],jc[256]; memset(jp,0,sizeof jp);memset(jc,0,sizeof jc);
  int dop=!!strcmp(mode,"con"), doc=!strcmp(mode,"e2e")||!strcmp(mode,"lat")||!strcmp(mode,"con");
  for(int i=0;i<pairs;i++){jp[i].id=jc[i].id=i; if(!strcmp(mode,"lat"))jc[i].lat=calloc(n,sizeof(double));
    if(doc)pthread_create(&tc[i],0,con,&jc[i]);}
  if(doc){struct timespec ts={0,200000000};nanosleep(&ts,0);}
  if(dop)for(int i=0;i<pairs;i++)pthread_create(&tp[i],0,pub,&jp[i]);
  double p0=1e18,p1=0,c0=1e18,c1=0;
  for(int i=0;i<pairs;i++){if(dop){pthread_join(tp[i],0);if(jp[i].t0<p0)p0=jp[i].t0;if(jp[i].t1>p1)p1=jp[i].t1;}if(doc){pthread_join(tc[i],0);if(jc[i].t0<c0)c0=jc[i].t0;if(jc[i].t1>c1)c1=jc[i].t1;}}
  if(dop)printf("published=%ld pub_rate=%.0f/s ",n*pairs,n*pairs/(p1-p0));
  if(doc)printf("consumed=%ld con_rate=%.0f/s e2e_rate=%.0f/s ",n*pairs,n*pairs/(c1-c0),n*pairs/(c1-(dop?p0:c0)));
  if(!strcmp(mode,"lat")){double*l=jc[0].lat;qsort(l,n,sizeof(double),cmp);printf("p50=%.3fms p95=%.3fms p99=%.3fms p999=%.3fms max=%.3fms",l[n/2]*1e3,l[(long)(n*.95)]*1e3,l[(long)(n*.99)]*1e3,l[(long)(n*.999)]*1e3,l[n-1]*1e3);}
  printf("\n"); return 0;
}

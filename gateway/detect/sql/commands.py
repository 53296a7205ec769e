"""Tables of words: commands of single dialects, and the objects that statements create, alter and drop.

A command is recognized by its first two words in capitals. Prose does not have them in capitals, so the rest of the
statement does not matter.
"""

from __future__ import annotations

from typing import Final

_AUDITED: Final = "policy|all|context|create|select|insert|update|delete|drop|grant|alter|table|role|session"
_LOADS: Final = "routine|sync|load|export|backup|restore|repository|job|jobs|task|query|analyze|alter|refresh|warm"

COMMANDS: Final = {
    "abort": "transaction|work|session",
    "admin": "set|show|check|repair|cancel|diagnose|copy|clean|rebalance|skip|alter|execute",
    "associate": "statistics",
    "audit": _AUDITED,
    "cancel": _LOADS,
    "clear": "cache",
    "disassociate": "statistics",
    "force": "install|checkpoint|drop",
    "move": "forward|backward|next|prior|all|absolute|relative|first|last",
    "noaudit": _AUDITED,
    "pause": _LOADS,
    "preload": "table|tables|schema|database",
    "rebuild": "table|index",
    "recompress": "table|tables|schema|database",
    "reconfigure": "with",
    "recover": "database|table|partition|partitions|managed|tablespace|datafile|standby",
    "reload": "dictionary|model|config",
    "reorganize": "table|tables|schema|database",
    "resume": _LOADS,
    "stop": f"{_LOADS}|slave|replica|group_replication|all",
    "submit": "task",
    "suspend": _LOADS,
    "sync": "schema|catalog|table|identity",
    "throw": "exception",
}

# Objects that are created, altered and dropped.
OBJECT: Final = (
    "table,database,schema,view,index,user,role,function,procedure,proc,trigger,sequence,type,extension,login,server,"
    "column,constraint,tablespace,event,package body,package,domain,rule,policy,publication,subscription,aggregate,"
    "cast,operator,collation,language,synonym,directory,catalog,warehouse,stage,stream,task,pipe,share,dataset,"
    "assembly,credential,certificate,endpoint,library,profile"
)
# Words of single dialects that prose does not have.
RARE: Final = (
    "dynamic table,iceberg table,hybrid table,external table,foreign table,event table,live table,streaming table,"
    "streaming live table,web table,table function,masking policy,row access policy,session policy,password policy,"
    "network policy,network rule,aggregation policy,projection policy,row policy,security policy,file format,"
    "resource monitor,resource pool,resource group,resource queue,resource plan,storage integration,api integration,"
    "security integration,notification integration,external access integration,catalog integration,"
    "text search configuration,text search dictionary,text search parser,text search template,foreign data wrapper,"
    "access method,operator class,operator family,event trigger,event session,event notification,"
    "external data source,external file format,external function,external volume,external catalog,external schema,"
    "external location,external resource pool,external language,external library,external model,external stream,"
    "external stage,fulltext index,fulltext catalog,fulltext stoplist,columnstore index,clustered index,"
    "nonclustered index,clustered columnstore index,nonclustered columnstore index,search index,vector index,"
    "spatial index,xml index,xml schema collection,symmetric key,asymmetric key,master key,column encryption key,"
    "column master key,database encryption key,availability group,server role,server audit,"
    "server audit specification,database audit specification,database role,database audit,database link,"
    "database scoped credential,database scoped configuration,application role,application package,"
    "partition function,partition scheme,message type,workload group,workload classifier,user mapping,"
    "materialized view log,materialized view,named collection,settings profile,compute pool,image repository,"
    "git repository,property graph,graph workspace,"
    "cortex search service,semantic view,managed account,replication group,failover group,"
    "consumer group,virtual schema,connection manager,search property list,remote service binding,broker priority,"
    "outline,rollback segment,flashback archive,data mask,java source,large object,transform for,"
    "temporary tablespace,temporary macro,stored procedure,authentication policy,packages policy,"
    "storage lifecycle policy,rls policy,privacy policy,join policy,adapter script,set script,udf script,"
    "sql security,stored function,transaction pool,profile policy,identity provider,data metric function,"
    "scalar script,scalar function,aggregate function,temporary function"
)
# Words that prose has as well: only in capitals.
PLAIN: Final = (
    "cluster,dictionary,quota,macro,volume,connection,source,sink,secret,tag,model,group,statistics,statistic,alias,"
    "datashare,provider,recipient,reservation,capacity,assignment,service,contract,route,queue,context,dimension,"
    "audit policy,audit,attribute dimension,hierarchy,variable,mask,module,location,projection,script,text index,"
    "resource,pluggable database,session,system,job,listing,notebook,streamlit,alert,dbrole,permission,privilege,"
    "locale,nodegroup,bufferpool,histogram,stogroup,wrapper,nickname,threshold,workload,workflow,indextype,cache,"
    "application,configuration,authorization,default,fulltext,partition,force view,force schema,duplicate,class,"
    "namespace,integration,replica,organization,project,bi_capacity,pipeline,link,adapter,workspace,"
    "catalog integration,partition function,store,keyspace,feature,branch,snapshot,space,index type,transform,"
    "account,organization account,graph,cluster replica"
)

"""SQL statements generated from forms: every kind, with each of its optional parts, in the words of each dialect.

A form is a list of words; `?x` may be left out, `x|y` is one of the two, and `_` is a blank within a part. Forms of
`LOUD` are also ordinary words, and count only in capitals.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

OBJECTS: Final = (
    "table|view|index|schema|database|sequence|function|procedure|trigger|type|materialized_view|extension|domain|"
    "external_table|masking_policy|file_format|event_trigger|fulltext_index|foreign_data_wrapper"
)
WRITES: Final = {
    # ANSI and most
    "insert": "insert into t1 ?(a,_b) values_(1,_2)|select_*_from_s1|default_values",
    "update": "update t1 ?as_x set a_=_1 ?where_b_=_2",
    "delete": "delete from t1 ?where_a_=_1",
    "merge": "merge into t1 ?as_x using s1 on t1.i_=_s1.i when_matched_then_delete",
    "truncate": "truncate table t1",
    "drop": f"drop {OBJECTS} ?if_exists x1 ?cascade|restrict",
    "create table": "create ?temporary|or_replace table ?if_not_exists x1 (a_int)",
    "create as": "create ?temp table ?if_not_exists x1 as select_1_as_a",
    "create view": "create ?or_replace view x1 as select_a_from_t1",
    "create index": "create ?unique index ?if_not_exists x1 on t1_(a)",
    "alter": "alter table ?if_exists ?only x1 add_column_a_int|drop_column_a|rename_to_y1",
    "grant": "grant all_privileges|select|select,_insert|update_(a) on ?table t1 to bob ?with_grant_option",
    "revoke": "revoke ?grant_option_for select|all|insert,_delete on t1 from bob",
    "with": "with x as (delete_from_t1_returning_*) select * from x",
    "into": "select a into x1 from t1",
    "call": "call p1(1,_2);",
    "explain": "explain analyze ?verbose delete_from_t1|update_t1_set_a_=_1|insert_into_t1_values_(1)",
    # Postgres, Redshift
    "copy": "copy t1|t1_(a,_b) from|to '/x'|program_'id'|stdin",
    "do": "do ?language_plpgsql $$_begin_delete_from_t1;_end_$$",
    "only": "delete_from|truncate_table|truncate only t1",
    "restart": "truncate t1|t1,_s1 restart_identity|cascade",
    "refresh": "refresh materialized_view ?concurrently x1 ?with_data",
    "reindex": "reindex table|index|schema ?concurrently x1;",
    "reassign": "reassign owned by a1 to b1",
    "drop owned": "drop owned by bob",
    "comment": "comment on table|column|schema x1 is 'a'|null",
    "unload": "unload ('select_1') to 's3://x'",
    "vacuum": "vacuum full|analyze t1",
    "set role": "set ?session|local role a1;",
    "set global": "set global|session|local x1 = 1",
    "prepare": "prepare p1 as delete_from_t1|select_1",
    "lock": "lock table t1 in exclusive_mode",
    "import": "import foreign_schema a1 from_server_b1_into_c1",
    # MySQL, MariaDB
    "insert mysql": "insert low_priority|delayed|ignore ?into t1 values_(1)",
    "insert set": "insert into t1 set a_=_1 ?on_duplicate_key_update_a_=_2",
    "replace": "replace ?low_priority ?into t1 ?(a) values_(1)",
    "delete mysql": "delete ?low_priority ?quick ?ignore from t1 ?limit_1",
    "delete several": "delete t1|t1,_s1|t1.* from t1 ?inner join s1 on 1_=_1",
    "load": "load data ?local infile '/x' ?replace|ignore into table t1",
    "rename": "rename table t1 to s1",
    "user": "create|alter|drop user ?if_exists 'a'@'b'",
    "outfile": "select a from t1 into outfile|dumpfile '/x'",
    "flush": "flush privileges|tables",
    "analyze": "analyze ?local table t1;",
    # SQLite
    "or": "insert or replace|ignore into t1 values_(1)",
    "attach": "attach ?database '/x' as y",
    "pragma": "pragma x1 = 1",
    "vacuum into": "vacuum into '/x'",
    # T-SQL
    "exec": "exec|execute xp_cmdshell 'dir'",
    "exec string": "exec ('drop_table_t1')|(@x)",
    "output": "delete top_(1) from t1",
    "bulk": "bulk insert t1 from '/x'",
    "backup": "backup database|log d1 to disk_=_'/x'",
    "declare": "declare @a ?as int",
    "symmetric": "drop|create symmetric key ?if_exists k1",
    "waitfor": "waitfor delay '0:0:9'",
    # Oracle
    "immediate": "execute immediate 'drop_table_t1'",
    "block": "begin delete_from_t1; end;",
    "session": "alter session|system set x1_=_1",
    "insert all": "insert all into t1 values_(1) select_1_from_dual",
    # BigQuery, Snowflake, ClickHouse, Hive, Spark, DuckDB, Trino
    "export": "export data options(uri='x') as select_1",
    "overwrite": "insert overwrite ?into|table t1 select_1|values_(1)",
    "undrop": "undrop table|schema|database t1",
    "copy into": "copy into t1 from @s1",
    "alter delete": "alter table t1 ?on_cluster_c1 delete where_a_=_1",
    "optimize": "optimize table t1 final|deduplicate",
    "exchange": "exchange tables a1 and b1",
    "on cluster": "truncate_table|truncate|drop_table|drop_view ?if_exists t1 on cluster c1",
    "msck": "msck repair table t1",
    "install": "install httpfs|a1_from_community",
    "generic": "drop|create quota|workload|stage|frobnicator if_exists x1",
    "replace table": "create or_replace ?transient|temporary table x1 clone y1",
    "call trino": "call system.sync_partition_metadata('a',_'b')",
    "function of": "alter function|aggregate f1(int,_b_text) owner_to_bob|rename_to_g1|called_on_null_input",
    "authorization": "alter authorization on schema::s1|t1 to bob",
    "drop cast": "drop cast ?if_exists (int_as_bool)",
    "drop several": "drop procedure|function f1,_g1 ?cascade|restrict",
    "declared": "declare x t1.a%type|t1%rowtype; begin null; end;",
    "isolation": "begin transaction isolation_level_serializable|read_only",
    "histogram": "analyze ?table t1 update|drop histogram on_a",
    "links": "alter public|shared database_link x1 connect_to_bob",
    "script": "create ?or_replace lua|python adapter_script s1.x1 as_y1",
    "policy": "create ?or_replace authentication_policy|packages_policy ?if_not_exists x1",
    "delta": "convert to_delta parquet.x1",
    "resignal": "resignal set_x1_=_'a'|sqlstate_'45000'",
    "settings": "set var|variable x1 = 1",
    "dynamic": "alter|drop dynamic_table ?if_exists x1 ?suspend",
}
LOUD: Final = {
    "system": "SYSTEM DROP_DNS_CACHE|FLUSH_LOGS|RELOAD_CONFIG|SHUTDOWN",
    "use": "USE x1|DATABASE_x1|ROLE_x1|WAREHOUSE_x1",
    "drop": "DROP CLUSTER|SECRET|CONNECTION|MODEL|MACRO|TAG|VOLUME|STATISTICS|SERVICE ?IF_EXISTS x1",
    "create": "CREATE ?OR_REPLACE SECRET|MACRO|CONNECTION|TAG|SOURCE|DICTIONARY x1 (a_=_1)",
    "alter": "ALTER CLUSTER|SERVICE|MODEL|TAG|VOLUME x1 SET|RENAME|DROP y1",
    "grant": "GRANT role1|CREATE_ANY_TABLE|USAGE TO bob",
    "deny": "DENY SELECT|EXECUTE ON x1 TO bob",
    "truncate": "TRUNCATE t1 SYNC|CASCADE|IMMEDIATE",
    "exec": "EXEC|EXECUTE dbo.p1 ?@a_=_1|'x'|1",
    "call": "CALL p1(1)",
    "set": "SET x1 = 1|'a'|ON",
    "set option": "SET IDENTITY_INSERT_t1|NOCOUNT ON",
    "purge": "PURGE TABLE|INDEX x1",
    "cache": "CACHE|UNCACHE TABLE t1",
    "begin": "BEGIN x1_:=_1;|p1(1); END;",
    "handler": "HANDLER t1 OPEN|CLOSE",
    "unset": "UNSET TAG|SESSION x1",
    "kill": "KILL QUERY|SESSION 12",
    "lock": "LOCK TABLES t1",
    "optimize": "OPTIMIZE t1 ZORDER_BY_a",
    "refresh": "REFRESH TABLE t1",
    "cursor": "OPEN|CLOSE c1|c2",
    "list": "LIST FILE|JAR|ARCHIVE '/x'",
    "define": "DEFINE TABLE|STAGE|TAG x1",
    "pivot": "PIVOT t1 ON|USING|GROUP_BY a",
    "routine": "PAUSE|RESUME|STOP ROUTINE_LOAD FOR x1",
    "clear": "CLEAR CACHE",
    "force": "FORCE INSTALL|CHECKPOINT x1",
    "recover": "RECOVER DATABASE|TABLE x1",
    "audit": "AUDIT|NOAUDIT POLICY x1",
    "show objects": "SHOW PROJECTIONS|SERVICES|MODELS|JOBS",
    "undrop": "UNDROP NOTEBOOK|SNAPSHOT x1",
}
READS: Final = {
    "select": "select ?distinct|all a,_b|*|count(*) from t1|s1.t1 ?where_a_=_1 ?order_by_1 ?limit_5",
    "computed": "select 1_+_1|now()|upper('a') ?as_x",
    "top": "select top_5|top_(5)|top_5_percent|top_5_with_ties a from t1 ?order_by_a",
    "distinct on": "select distinct_on_(a) a,_b from t1",
    "recursive": "with ?recursive x ?(n) as (select_1) select * from x",
    "several": "with x as (select_1), y as (select_2) select * from x,_y",
    "table": "table t1 limit_5",
    "set": "select a from t1 union|union_all|except|intersect select b from s1",
    "locked": "select a from t1 for_update|for_share ?skip_locked|nowait",
    "join": "select a from t1 ?left|inner|cross join s1 ?using_(a)",
    "window": "select a,_rank() over_(partition_by_b_order_by_c) from t1",
    "fetch": "select a from t1 ?offset_5_rows fetch_first_5_rows_only",
    "lateral": "select a from t1 cross_join|left_join lateral_(select_1)_x ?on_true",
    "sample": "select a from t1 tablesample_bernoulli_(5)",
    "qualify": "select a from t1 qualify_row_number()_over_(order_by_a)_=_1",
    "explain": "explain ?analyze|verbose select a from t1",
    "from": "from t1 select a",
    "hive": "select a from t1 lateral_view_explode(b)_x_as_c",
    "clickhouse": "select a from t1 ?final ?prewhere_b_=_1 ?settings_x_=_1",
    "except": "select *_except_(a)|*_exclude_(a) from t1",
    "grouping": "select a,_sum(b) from t1 group_by_rollup_(a)|group_by_grouping_sets_((a),_())|group_by_all",
    "pivot": "select * from t1 pivot_(sum(a)_for_b_in_(1,_2))",
    "cast": "select a::int|cast(a_as_text)|try_cast(a_as_int) from t1",
    "with no lock": "select a from t1 with_(nolock)",
    "dual": "select 1 from dual connect_by_level_<_3",
    "map": "SELECT MAP_{'a':_1}|{'a':_1}|{'a':_1}::variant ?AS_x",
    "dotted": "select a.b.c.d.e,_b from s1.t1.u1",
    "substring": "SELECT SUBSTRING('abc'_FROM_2_FOR_1)|(a_?_b_:_c) from t1",
    "values": "values (1,_2),_(3,_4) limit_1|order_by_1|as_t",
    "json": "select a->>'b'|a:b from t1",
}


_NAMES: Final = re.compile(
    r"(?<=low|igh) (?=priority)|(?<=xp) (?=cmdshell)|(?<=sync) (?=partition)|(?<=partition) (?=metadata)|"
    r"(?<=identity) (?=insert)|(?<=row) (?=number)|(?<=try) (?=cast)",
    re.IGNORECASE,
)


def made(form: str) -> Iterator[str]:
    """Every statement of a form."""
    parts = []
    for part in form.split(" "):
        choices = part.removeprefix("?").split("|")
        parts.append([*choices, ""] if part.startswith("?") else choices)
    for chosen in itertools.product(*parts):
        yield _NAMES.sub("_", " ".join(filter(None, chosen)).replace("_", " ").strip())


def statements(forms: dict[str, str]) -> list[str]:
    """Every statement of all forms, once."""
    return list(dict.fromkeys(text for form in forms.values() for text in made(form)))

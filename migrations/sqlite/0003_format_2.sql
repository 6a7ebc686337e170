-- Format 1 to 2: a deploy can be paused (`deploy_paused`), and be set off by a webhook or over the API. The tables are as they were: a
-- pause stands in the fold of the deploy's stream (deploys.summary, `"paused":true`), where every start reads it beside the direction,
-- and is left out where there is none. So every row that a log of format 1 has is one of format 2 as well.
--
-- What changes is who may open the file: a Windlass that knows only format 1 cannot read such an event, and would let steps start in a
-- paused deploy.
UPDATE meta SET format = 2;

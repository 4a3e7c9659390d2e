// Polls, because an open stream would keep uvicorn from ever shutting down.
const FORMAT = 1;
const PATIENCE = 5000;
const PHRASES = {
  lifetime: "reached its age limit", idle: "idle for too long", overflow: "overflow no longer needed",
  resize: "the pool was made smaller", ping: "did not answer a ping", socket: "its socket had ended",
  sqlstate: "an error that ends sessions", reset: "could not be reset", invalidated: "given up by its user",
  detached: "detached by its user", leaked: "leaked, found by the garbage collector", disposed: "the pool was disposed",
  abandoned: "abandoned while in use",
};
const TIMES = {
  waits: "Wait for a connection", connects: "Open a connection", holds: "Hold a connection",
  in_sql: "of it waiting for the database", gaps: "of it between statements",
};
const TOTALS = {
  requests: "asked for a connection", waited: "had to wait", served: "got one", timed_out: "timed out",
  refused: "refused", cancelled: "gave up", connects: "connections opened",
};

const page = {
  data: null, chosen: null, paused: false, timer: 0, polling: false, lostSince: 0, reason: "", level: "",
};
const $ = (id) => document.getElementById(id);

// ---- Elements. Texts only ever become text nodes.

function el(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// Changes what differs and leaves the rest alone: focus, open details and a selection survive the next answer.
function show(target, ...children) {
  adapt(target, children.filter((child) => child !== null && child !== undefined).map(asNode));
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(child);
}

function adapt(target, wanted) {
  wanted.forEach((node, index) => {
    const present = target.childNodes[index];
    if (present === undefined) target.append(node);
    else if (!morph(present, node)) present.replaceWith(node);
  });
  while (target.childNodes.length > wanted.length) target.lastChild.remove();
}

function morph(present, wanted) {
  if (present.nodeName !== wanted.nodeName || present.onclick !== wanted.onclick) return false;
  if (present.nodeType === Node.TEXT_NODE) {
    if (present.data !== wanted.data) present.data = wanted.data;
    return true;
  }
  for (const { name } of [...present.attributes]) {
    if (!wanted.hasAttribute(name) && name !== "open") present.removeAttribute(name);
  }
  for (const { name, value } of wanted.attributes) {
    if (present.getAttribute(name) !== value) present.setAttribute(name, value);
  }
  adapt(present, [...wanted.childNodes]);
  return true;
}

// ---- Words and numbers

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const sum = (numbers) => numbers.reduce((all, number) => all + number, 0);
const highest = (numbers) => numbers.filter(isNumber).reduce((a, b) => (a === null || b > a ? b : a), null);

function seconds(value) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0";
  if (value < 0.0995) return `${Number((value * 1000).toPrecision(2))} ms`;
  if (value < 9.95) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return `${(value / 3600).toFixed(1)} h`;
}

function plain(value) {
  if (!isNumber(value)) return "–";
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1);
}

function sentenceOf(text) {
  const trimmed = String(text ?? "").trim();
  if (!trimmed) return "";
  const start = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

// ---- Polling

async function poll() {
  clearTimeout(page.timer);
  if (page.polling) return;
  page.polling = true;
  try {
    const answer = await fetch("data", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
    if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "refused" : `status ${answer.status}`);
    const data = await answer.json();
    if (data.format !== FORMAT) {
      // Another release answers: its page goes with it.
      page.timer = setTimeout(() => location.reload(), PATIENCE);
      return;
    }
    page.data = data;
    page.lostSince = 0;
  } catch (error) {
    page.lostSince ||= Date.now();
    page.reason = error.message;
  } finally {
    page.polling = false;
  }
  again();
  render();
}

function again() {
  clearTimeout(page.timer);
  if (!page.paused && !document.hidden) page.timer = setTimeout(poll, (page.data?.every ?? 2) * 1000);
}

function pause() {
  page.paused = !page.paused;
  $("pause").setAttribute("aria-pressed", String(page.paused));
  if (page.paused) {
    clearTimeout(page.timer);
    renderPulse();
  } else poll();
}

// ---- What is looked at: one worker, or all of them as one

function looked() {
  const workers = page.data.workers;
  const one = workers.find((worker) => worker.pid === page.chosen);
  if (!one) page.chosen = null;
  const chosen = one ? [one] : workers.length === 1 ? workers : workers.filter((worker) => age(worker) < 30);
  const pools = chosen.map((worker) => worker.pool);
  const total = (name) => sum(pools.map((pool) => pool[name] ?? 0));
  return {
    workers: chosen,
    capacity: pools.some((pool) => pool.capacity === null) ? null : total("capacity"),
    inUse: total("in_use"), idle: total("idle"), waiting: total("waiting"),
    coming: total("connecting"), checking: total("checking"),
    oldestWaiter: highest(pools.map((pool) => pool.oldest_waiter)),
    saturated: pools.some((pool) => pool.saturated),
    unknown: new Set(chosen.flatMap((worker) => worker.unknown)),
    trouble: chosen.map((worker) => worker.trouble).filter(Boolean).sort((a, b) => b.seconds - a.seconds)[0],
    leaving: chosen.some((worker) => worker.state === "draining" || worker.state === "closed"),
  };
}

const age = (worker) => Math.max(0, page.data.now - worker.at);

// ---- Rendering

function render() {
  renderPulse();
  if (!page.data) return;
  const now = looked();
  $("database").textContent = page.data.database;
  document.title = `${now.inUse}/${now.capacity ?? "∞"} in use · ${page.data.database} · poolkeeper`;
  renderChoice();
  renderStatus(now);
  renderCharts(now);
  renderFindings(now);
  renderHolders(now);
  renderReplicas(now);
  renderTimes(now);
  renderTotals(now);
  renderWorkers();
  renderSettings();
}

function renderPulse() {
  const lost = page.lostSince > 0;
  const state = lost ? "lost" : page.paused ? "paused" : page.data ? "live" : "";
  const words = { lost: "No answer", paused: "Paused", live: "Live", "": "Connecting" };
  $("pulse").className = `pulse ${state}`;
  $("pulse-text").textContent = words[state];
  $("pause").textContent = page.paused ? "Resume" : "Pause";
  $("main").classList.toggle("stale", lost && page.data !== null);
  const outage = $("outage");
  outage.hidden = !lost;
  if (!lost) return;
  const since = new Date(page.lostSince).toLocaleTimeString();
  const shown = page.data ? " What is shown is what it said last." : "";
  const words2 = page.reason === "refused" ? "The service refuses to show this page" : "The service does not answer";
  // An alert is read aloud whenever it changes: it says since when, not for how long.
  const text = `${words2}, since ${since}.${shown}`;
  if (outage.textContent !== text) outage.textContent = text;
}

function renderChoice() {
  const workers = page.data.workers;
  $("choice").hidden = workers.length < 2;
  if (workers.length < 2) return show($("choice"));
  const button = (pid, text) => el("button", { type: "button", "data-pid": pid ?? "", "aria-pressed": String(page.chosen === pid) }, text);
  const pids = workers.map((worker) => worker.pid).sort((a, b) => a - b);
  show($("choice"), button(null, `All ${workers.length} workers`), ...pids.map((pid) => button(pid, `Worker ${pid}`)));
}

function renderStatus(now) {
  const { level, sentence, detail } = judged(now);
  $("sentence").className = `sentence ${level}`;
  $("sentence").textContent = sentence;
  $("detail").textContent = detail;
  if (level !== page.level) {
    if (page.level || level !== "good") $("announcement").textContent = sentence;
    page.level = level;
  }
  const parts = [
    ["use", "in use", now.inUse], ["idle", "idle", now.idle], ["coming", "connecting", now.coming + now.checking],
  ];
  const free = now.capacity === null ? 0 : Math.max(0, now.capacity - sum(parts.map((part) => part[2])));
  const whole = sum(parts.map((part) => part[2])) + free || 1;
  let x = 0;
  const rects = parts.map(([kind, , number]) => {
    const width = (number / whole) * 1000;
    x += width;
    return svg("rect", { class: kind, x: (x - width).toFixed(2), y: 0, width: Math.max(0, width - (width > 4 && x < 999 ? 1.5 : 0)).toFixed(2), height: 20 });
  });
  $("bar").setAttribute("aria-label", `${parts.map(([, name, number]) => `${number} ${name}`).join(", ")} of ${now.capacity ?? "no limit"}, ${now.waiting} waiting`);
  show($("bar"), ...rects);
  const legend = [...parts, ...(now.capacity === null ? [] : [["free", "not opened", free]]), ["queue", "waiting", now.waiting]];
  show($("legend"), ...legend.map(([kind, name, number]) => {
    const known = !(now.unknown.has(name) && !number);
    return el("li", {}, svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("rect", { class: kind, width: 10, height: 10 })), el("span", {}, el("b", {}, known ? String(number) : "?"), ` ${name}`));
  }));
}

function judged(now) {
  const limit = now.capacity === null ? "" : ` of ${now.capacity}`;
  const use = `${now.inUse}${limit} ${now.inUse === 1 && !limit ? "connection" : "connections"} in use`;
  const first = now.oldestWaiter === null ? "" : `, the first for ${seconds(now.oldestWaiter)}`;
  const queue = now.waiting ? `${now.waiting === 1 ? "1 caller waits" : `${now.waiting} callers wait`}${first}` : "";
  const all = now.capacity !== null && now.inUse >= now.capacity;
  if (now.trouble) {
    const since = `for ${seconds(now.trouble.seconds)}, ${count(now.trouble.attempts, "attempt")}`;
    return { level: "bad", sentence: `No connection to the database can be opened (${now.trouble.kind}).`, detail: `${sentenceOf(`${since}: ${now.trouble.message}`)} ${sentenceOf(queue || use)}` };
  }
  const leaving = now.leaving ? "The service is shutting down." : "";
  const detail = leaving || unknownOf(now);
  if (now.waiting && (all || now.saturated)) return { level: "bad", sentence: `All ${now.workers.length > 1 && !all ? "connections of a worker" : `${now.inUse} connections`} are in use, and ${queue}.`, detail };
  if (now.waiting) return { level: "warn", sentence: sentenceOf(queue), detail: detail || sentenceOf(use) };
  const nobody = now.unknown.has("waiting") ? "" : ", and nobody waits";
  if (all && now.inUse) return { level: "warn", sentence: `All ${now.inUse} connections are in use${nobody}.`, detail };
  return { level: "good", sentence: `${use}${nobody}.`, detail };
}

function unknownOf(now) {
  return now.unknown.size ? `This pool cannot tell: ${[...now.unknown].sort().join(", ")}.` : "";
}

// ---- The last minutes

// Workers take their numbers at moments of their own: each counts with its latest before a common moment.
function series(workers, name, combine) {
  const every = page.data.every;
  const end = Math.min(...workers.map((worker) => worker.history.at.at(-1) ?? Infinity));
  if (!Number.isFinite(end)) return [];
  if (workers.length === 1) return workers[0].history.at.map((at, i) => [at, workers[0].history[name][i]]);
  const points = [];
  const next = workers.map(() => 0);
  for (let at = end - page.data.seconds; at <= end + 0.001; at += every) {
    const values = workers.map((worker, w) => {
      const times = worker.history.at;
      while (next[w] < times.length && times[next[w]] <= at + 0.001) next[w] += 1;
      const i = next[w] - 1;
      return i >= 0 && at - times[i] < 3 * every ? worker.history[name][i] : null;
    });
    if (values.some(isNumber)) points.push([at, combine(values.filter(isNumber))]);
    else points.push([at, null]);
  }
  return points;
}

function renderCharts(now) {
  const charts = [
    ["In use", "in_use", sum, plain, now.inUse, now.capacity, false],
    ["Waiting for a connection", "waiting", sum, plain, now.waiting, null, true],
    ["Longest waits", "wait", highest, seconds, null, null, true],
    ["Served per second", "served", sum, plain, null, null, false],
  ];
  show($("charts"), ...charts.map((chart) => drawn(now.workers, chart)));
}

function drawn(workers, [title, name, combine, format, current, limit, amber]) {
  const points = series(workers, name, combine);
  const most = highest(points.map((point) => point[1]));
  const last = current ?? points.at(-1)?.[1] ?? null;
  const span = spanOf(points);
  const mostText = most === null ? (name === "wait" ? "nobody asked yet" : "no numbers yet") : `at most ${format(most)}`;
  const text = `${title}: ${format(last)} now; in the last ${seconds(span)} ${mostText}`;
  return el("figure", { class: `card chart${amber ? " amber" : ""}` },
    el("figcaption", {}, title),
    el("p", { class: "now" }, last === null && name === "wait" ? "none" : format(last)),
    sparkline(points, Math.max(most ?? 0, limit ?? 0), limit, text, span),
    el("p", { class: "most" }, `${mostText}${most === null ? "" : ` in ${seconds(span)}`}`));
}

// A minute at least, and as much more as there is.
function spanOf(points) {
  const first = points.find((point) => isNumber(point[1]));
  return Math.min(page.data.seconds, Math.max(60, first ? points.at(-1)[0] - first[0] : 0));
}

function sparkline(points, top, limit, text, span) {
  const height = 48;
  const end = points.at(-1)?.[0] ?? 0;
  const x = (at) => (300 * (1 - (end - at) / span)).toFixed(1);
  const y = (value) => (height - (top > 0 ? value / top : 0) * (height - 4)).toFixed(1);
  const picture = svg("svg", { viewBox: `0 0 300 ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": text });
  picture.append(svg("path", { class: "ground", d: `M0 ${height}H300` }));
  if (limit) picture.append(svg("path", { class: "limit", d: `M0 ${y(limit)}H300` }));
  for (const run of runs(points)) {
    const line = run.map(([at, value]) => `${x(at)} ${y(value)}`).join("L");
    picture.append(svg("path", { class: "area", d: `M${x(run[0][0])} ${height}L${line}L${x(run.at(-1)[0])} ${height}Z` }));
    picture.append(svg("path", { class: "line", d: `M${line}${run.length === 1 ? "h2" : ""}` }));
  }
  return picture;
}

function runs(points) {
  const found = [];
  let run = null;
  for (const point of points) {
    if (!isNumber(point[1])) run = null;
    else if (run) run.push(point);
    else found.push((run = [point]));
  }
  return found;
}

// ---- Tables

function table(label, columns, rows, kind = "folds") {
  const heads = columns.map(([text, figure]) => el("th", { scope: "col", role: "columnheader", class: figure ? "figure" : null }, text));
  const body = rows.map((cells) => el("tr", { role: "row" }, ...cells.map((cell, i) => {
    const [text, figure] = columns[i];
    const content = Array.isArray(cell) ? cell : [cell];
    const empty = content.every((part) => part === null || part === "");
    const attributes = { class: [figure ? "figure" : "", empty ? "empty" : ""].join(" ").trim() || null };
    if (i === 0) return el("th", { scope: "row", role: "rowheader", ...attributes }, ...content);
    return el("td", { role: "cell", "data-label": text, ...attributes }, ...content);
  })));
  // The roles again: where rows fold into blocks, browsers forget that this is a table.
  return el("div", { class: "frame" }, el("table", { class: kind || null, role: "table", "aria-label": label },
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...heads)), el("tbody", { role: "rowgroup" }, ...body)));
}

const nothing = (text) => el("p", { class: "frame none" }, text);
const sub = (text) => (text ? el("span", { class: "sub" }, text) : null);

function renderHolders(now) {
  const several = now.workers.length > 1;
  const holders = now.workers.flatMap((worker) => worker.holders.map((holder) => ({ ...holder, pid: worker.pid })));
  holders.sort((a, b) => b.seconds - a.seconds);
  const more = sum(now.workers.map((worker) => worker.more_holders));
  $("holders-count").textContent = holders.length ? String(holders.length + more) : "";
  if (!holders.length) return show($("holders"), nothing("Nobody."));
  const columns = [["Route or task"], ["For", true], ["State"], ["Checked out at"], ["Statement"]];
  const rows = holders.map((holder) => [
    [holder.route ?? holder.task, sub([several ? `worker ${holder.pid}` : "", holder.route ? "" : "outside requests", phaseOf(holder)].filter(Boolean).join(" · "))],
    seconds(holder.seconds), stateOf(holder),
    holder.site ? [el("code", {}, holder.site), sub(holder.awaiting && !holder.in_sql ? `awaits ${holder.awaiting.at(-1)}` : "")] : "",
    holder.statement ? [el("code", {}, holder.statement), sub(holder.statements > 1 ? `${holder.statements} statements so far` : "")] : holder.statements === 0 || holder.in_sql === false ? [el("span", { class: "quiet" }, "none yet")] : "",
  ]);
  show($("holders"), table("Who holds connections", columns, rows), more ? el("p", { class: "quiet" }, `and ${more} more`) : null);
}

const phaseOf = (holder) => ({ responding: "response under way", responded: "response sent" })[holder.phase] ?? "";

function stateOf(holder) {
  const time = isNumber(holder.state_seconds) ? ` ${seconds(holder.state_seconds)}` : "";
  const open = holder.in_transaction ? sub("transaction open") : null;
  if (holder.finished) return [el("span", { class: "tag bad" }, "leaked"), sub("its task has ended")];
  if (holder.waits_at) return [el("span", { class: "tag bad" }, "waits for another"), sub(`at ${holder.waits_at}`)];
  if (holder.in_sql === true) return [el("span", { class: "tag good" }, `${holder.streams ? "streaming" : "in SQL"}${time}`), open];
  if (holder.in_sql === undefined || holder.in_sql === null) return [el("span", { class: "tag" }, "not known")];
  return [el("span", { class: "tag warn" }, `gap${time}`), open ?? sub("no statement runs")];
}

const STANDINGS = {
  ready: ["good", "gets reads"], lagging: ["warn", "too far behind"], unreachable: ["bad", "does not answer"],
  "not-a-replica": ["warn", "is not one any more"], unknown: ["", "not looked at yet"],
};

function renderReplicas(now) {
  // A worker of the release before says nothing about them.
  const views = now.workers.flatMap((worker) => worker.replicas ?? []);
  const names = [...new Set(views.map((view) => view.name))];
  $("replicas-section").hidden = !names.length;
  if (!names.length) return show($("replicas"));
  const moved = [...new Set(now.workers.map((worker) => worker.primary).filter((name) => name && name !== "primary"))];
  $("replicas-note").textContent = moved.length ? `${moved.join(" and ")} gets the writes` : "";
  const columns = [["Replica"], ["Standing"], ["Says it is"], ["Behind", true], ["Read sessions", true], ["Sent elsewhere", true], ["Connections in use", true]];
  const rows = names.map((name) => rowOfReplica(name, views.filter((view) => view.name === name)));
  show($("replicas"), table("Replicas", columns, rows));
}

function rowOfReplica(name, views) {
  const total = (key) => sum(views.map((view) => view[key] ?? 0));
  const limit = views.some((view) => view.capacity === null) ? "no limit" : total("capacity");
  const bytes = highest(views.map((view) => view.lag_bytes));
  const roles = [...new Set(views.map((view) => view.role ?? "–"))];
  return [
    [name, sub(views[0].weight === 1 ? "" : `weight ${plain(views[0].weight)}`)],
    standingsOf(views), roles.join(" or "),
    [seconds(highest(views.map((view) => view.lag))), sub(bytes ? `${bytes.toLocaleString("en")} bytes` : "")],
    String(total("sessions")), [String(total("moved")), sub(total("conflicts") ? count(total("conflicts"), "conflict") : "")],
    [`${total("in_use")} of ${limit}`, sub(total("waiting") ? `${total("waiting")} waiting` : "")],
  ];
}

// Each worker looks for itself; they agree after a moment.
function standingsOf(views) {
  return added(views.map((view) => ({ [view.standing]: 1 }))).flatMap(([standing, workers]) => {
    const [tone, phrase] = STANDINGS[standing] ?? ["", ""];
    return [el("span", { class: `tag ${tone}` }, standing), sub(workers < views.length ? `${phrase} (${count(workers, "worker")})` : phrase)];
  });
}

function renderTimes(now) {
  const columns = [["Since the start"], ["Half below", true], ["95 % below", true], ["Times", true]];
  const several = now.workers.length > 1;
  const rows = Object.entries(TIMES).map(([name, title]) => {
    const times = now.workers.map((worker) => worker.timings[name]);
    const most = (key) => seconds(highest(times.map((time) => time[key])));
    const known = !now.unknown.has(`timings.${name}`) && !now.unknown.has("timings");
    return [title, ...(known ? [most("p50"), most("p95"), plain(sum(times.map((time) => time.count)))] : ["?", "?", "?"])];
  });
  const lags = now.workers.map((worker) => worker.loop_lag).filter(Boolean);
  if (lags.length) {
    const worst = lags.sort((a, b) => b.recent - a.recent)[0];
    rows.push([["Event loop late", sub(worst.blocked_at ? `blocked at ${worst.blocked_at}` : "")], seconds(highest(lags.map((lag) => lag.p50))), seconds(highest(lags.map((lag) => lag.p95))), plain(sum(lags.map((lag) => lag.count)))]);
  }
  show($("times"), table("How long things take", columns, rows, ""), several ? el("p", { class: "quiet" }, "Of several workers, the slowest.") : null);
}

function renderTotals(now) {
  const rows = Object.entries(TOTALS).map(([name, title]) => [
    title, now.unknown.has(`totals.${name}`) || now.unknown.has("totals") ? "?" : plain(sum(now.workers.map((worker) => worker.totals[name]))),
  ]);
  for (const [kind, number] of added(now.workers.map((worker) => worker.totals.connect_failures))) {
    rows.push([`connects failed: ${kind}`, plain(number)]);
  }
  show($("totals"), table("What has happened", [["Since the start"], ["", true]], rows, ""));
  const closed = added(now.workers.map((worker) => worker.closed)).filter(([, number]) => number > 0);
  if (!closed.length) return show($("closed"), nothing("None was closed yet."));
  show($("closed"), table("Connections closed, by reason", [["Reason"], ["Connections", true]], closed.map(([reason, number]) => [[reason, sub(PHRASES[reason])], plain(number)]), ""));
}

function added(mappings) {
  const sums = new Map();
  for (const mapping of mappings) for (const [key, number] of Object.entries(mapping)) sums.set(key, (sums.get(key) ?? 0) + number);
  return [...sums].sort((a, b) => b[1] - a[1]);
}

// ---- Findings

function renderFindings(now) {
  const seen = new Map();
  let failed = false;
  for (const worker of now.workers) {
    failed ||= worker.findings === null;
    for (const finding of worker.findings ?? []) {
      const key = `${finding.code} ${finding.subject}`;
      if (seen.has(key)) seen.get(key).pids.push(worker.pid);
      else seen.set(key, { ...finding, pids: [worker.pid] });
    }
  }
  const items = [...seen.values()].map((finding) => told(finding, now.workers.length > 1));
  if (failed) items.push(el("li", { class: "warning" }, el("h3", {}, "The diagnosis itself failed"), el("p", { class: "quiet" }, "The service's log says why.")));
  show($("findings"), items.length ? el("ul", { class: "findings" }, ...items) : nothing("Nothing is wrong that can be seen from here."));
}

const ABBREVIATIONS = { ddl: "DDL", dns: "DNS", io: "I/O", sql: "SQL", tls: "TLS" };

function titleOf(code) {
  const words = code.split("-").map((word) => ABBREVIATIONS[word] ?? word).join(" ");
  return words[0].toUpperCase() + words.slice(1);
}

function told(finding, several) {
  const figures = Object.entries(finding.figures ?? {});
  const tone = { error: "bad", warning: "warn" }[finding.severity] ?? "";
  return el("li", { class: finding.severity },
    el("h3", {}, `${titleOf(finding.code)} `, finding.confidence ? el("span", { class: `tag ${tone}` }, finding.confidence) : null),
    el("p", {}, sentenceOf(finding.seen)),
    finding.why ? el("p", { class: "quiet" }, sentenceOf(finding.why)) : null,
    finding.fix ? el("p", {}, el("b", {}, "What to do: "), sentenceOf(finding.fix)) : null,
    several && finding.pids ? el("p", { class: "quiet" }, `Seen by ${finding.pids.length === 1 ? "worker" : "workers"} ${finding.pids.join(", ")}.`) : null,
    finding.unseen?.length ? el("p", { class: "quiet" }, `Not seen: ${finding.unseen.join("; ")}.`) : null,
    figures.length || finding.source ? el("details", {}, el("summary", {}, figures.length ? "Figures" : "Source"), el("dl", {},
      ...figures.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, isNumber(value) ? String(Number(value.toPrecision(4))) : String(value))]),
      ...(finding.source ? [el("dt", {}, "source"), el("dd", {}, finding.source)] : []))) : null);
}

// ---- Workers and settings

function renderWorkers() {
  const columns = [["Process"], ["In use", true], ["Idle", true], ["Waiting", true], ["Limit", true], ["State"], ["Running for", true]];
  const rows = [...page.data.workers].sort((a, b) => a.pid - b.pid).map((worker) => {
    const here = worker.pid === page.data.pid && page.data.workers.length > 1;
    const old = age(worker) > 5 * page.data.every ? `as of ${seconds(age(worker))} ago` : "";
    const tone = { ready: "good", closed: "bad", draining: "warn" }[worker.state] ?? "";
    return [
      [`pid ${worker.pid}`, sub([here ? "answered this page" : "", old].filter(Boolean).join(" · "))],
      String(worker.pool.in_use), String(worker.pool.idle), String(worker.pool.waiting), String(worker.pool.capacity ?? "none"),
      [el("span", { class: `tag ${worker.trouble ? "bad" : tone}` }, worker.trouble ? "cannot connect" : worker.state)], seconds(page.data.now - worker.started),
    ];
  });
  show($("workers"), table("Workers", columns, rows));
  $("alone").hidden = !page.data.alone;
}

function renderSettings() {
  const columns = [["Setting"], ["Value"], ["Decided by"]];
  const rows = (settings) => settings.map(({ name, value, origin }) => [[el("code", {}, name)], value, origin]);
  const chosen = page.data.settings.filter((setting) => !setting.default);
  const rest = page.data.settings.filter((setting) => setting.default);
  show($("advice"), page.data.advice.length ? el("ul", { class: "findings" }, ...page.data.advice.map((finding) => told(finding, false))) : null);
  show($("settings-chosen"), table("Settings that are not defaults", columns, rows(chosen)));
  show($("settings-default"), table("Settings at their defaults", columns, rows(rest)));
}

// ---- Beginning

$("pause").addEventListener("click", pause);
$("choice").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  page.chosen = button.dataset.pid ? Number(button.dataset.pid) : null;
  render();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(page.timer);
  else if (!page.paused) poll();
});
poll();

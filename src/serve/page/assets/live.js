// Keeps an open page up to date: live events tell that something has happened, and the parts that have changed are fetched again, a few
// times a second at most, and more slowly where the server or the line is slow. What the page says is made by the server alone.
"use strict";
(() => {
  const PAUSE_MS = 250;
  const WAIT_MS = 1000;
  const OVERVIEW_MS = 4000;
  const byId = (id) => document.getElementById(id);

  const notice = byId("notice");
  const say = (text, link) => {
    if (!notice) return;
    notice.hidden = !text;
    notice.textContent = text;
    if (link) {
      const a = document.createElement("a");
      a.href = link;
      a.textContent = "Log in again";
      notice.append(" ", a);
    }
  };

  // The session is over: whatever is asked for is refused.
  let over = false;

  // One request at a time; those that are asked for meanwhile are one more after it.
  const paced = (load) => {
    let busy = false;
    let again = false;
    const run = async () => {
      if (over) return;
      if (busy) {
        again = true;
        return;
      }
      busy = true;
      again = false;
      const begun = performance.now();
      try {
        await load();
      } catch (_) {
        // Nothing came back, which has been said: see below.
        again = true;
      }
      // A page must not cost the server more than a quarter of its time.
      const pause = Math.max(PAUSE_MS, 3 * (performance.now() - begun));
      setTimeout(() => {
        busy = false;
        if (again) run();
      }, pause);
    };
    return run;
  };

  const failed = (event) => {
    const status = event.detail.xhr ? event.detail.xhr.status : 0;
    const back = "/login?next=" + encodeURIComponent(location.pathname + location.search);
    over = status === 401 || status === 403;
    if (over) say("This session is over, and the page is not kept up to date any more.", back);
    else say("The server cannot be reached. What is shown may not be so any more; trying again.");
  };
  document.addEventListener("htmx:responseError", failed);
  document.addEventListener("htmx:sendError", failed);

  const LENGTHS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const span = (ms) => {
    let rest = Math.max(0, Math.floor(ms / 1000));
    const words = [];
    for (const [length, word] of LENGTHS) {
      const count = Math.floor(rest / length);
      rest -= count * length;
      if (count > 0 || (word === "s" && words.length === 0)) words.push(count + " " + word);
    }
    return words.slice(0, 2).join(" ");
  };
  const tick = () => {
    for (const of of document.querySelectorAll("[data-since]")) {
      of.textContent = "for " + span(Date.now() - Number(of.dataset.since));
    }
  };
  const local = () => {
    for (const of of document.querySelectorAll("time[data-at]:not([data-told])")) {
      of.dataset.told = "";
      const here = new Date(Number(of.dataset.at)).toLocaleString();
      of.title = of.title ? here + " here, by " + of.title : here + " here";
    }
  };

  const overview = () => {
    const load = paced(() =>
      htmx.ajax("GET", "/", { source: byId("overview"), target: "#overview", select: "#overview", swap: "outerHTML" }),
    );
    document.addEventListener("htmx:beforeSwap", (event) => {
      const here = byId("overview");
      const same = event.detail.serverResponse.includes('data-digest="' + here.dataset.digest + '"');
      // Whoever goes through the list with the keyboard is not to lose their place.
      if (same || here.contains(document.activeElement)) event.detail.shouldSwap = false;
      if (event.detail.xhr.status === 200) say("");
    });
    setInterval(() => {
      if (!document.hidden) load();
    }, OVERVIEW_MS);
  };

  const follow = (deploy) => {
    const state = () => byId("follow").dataset;
    let word = byId("standing-word").textContent;
    let seen = Number(state().position);
    let source = null;

    const load = paced(async () => {
      const have = Array.from(deploy.querySelectorAll("[data-digest]"), (part) => part.dataset.digest);
      const query = new URLSearchParams({ have: have.join(","), without: deploy.dataset.without });
      await htmx.ajax("GET", deploy.dataset.parts + "?" + query, { source: deploy, target: deploy, swap: "none" });
      after();
    });

    const after = () => {
      const now = byId("standing-word").textContent;
      if (now !== word) {
        word = now;
        byId("said").textContent = now + ". " + deploy.querySelector(".says").textContent;
        document.title = now + " · " + document.title.replace(/^[^·]*· /, "");
      }
      tick();
      local();
      const how = state().how;
      if (how === "events" && !source) listen();
      if (how === "no" && source) {
        source.close();
        source = null;
      }
      deploy.dataset.shown = state().position;
      if (how !== "no" && Number(state().position) < seen) load();
    };

    const listen = () => {
      source = new EventSource(deploy.dataset.events + "?after=" + state().position);
      source.addEventListener("event", (event) => {
        seen = Number(event.lastEventId);
        load();
      });
      source.addEventListener("end", () => {
        source.close();
        source = null;
        load();
      });
      source.addEventListener("open", () => say(""));
      source.addEventListener("error", () => {
        if (!source) return;
        say("The line to the server is cut. What is shown may not be so any more; trying again.");
        // A browser gives up where the answer is no stream: the server says why when it is asked for the parts.
        if (source.readyState === EventSource.CLOSED) {
          source = null;
          setTimeout(load, WAIT_MS);
        }
      });
    };

    // Nobody's words are taken away while they are written.
    document.addEventListener("htmx:oobBeforeSwap", (event) => {
      const target = event.detail.target;
      const open = target.id === "part-commands" && target.querySelector("details[open]");
      if (open && target.contains(document.activeElement)) event.detail.shouldSwap = false;
    });

    // Cells are new after a swap: the one that was in focus is in focus again.
    let focused = -1;
    document.addEventListener("htmx:oobBeforeSwap", (event) => {
      const cells = event.detail.target.querySelector(".cells");
      if (cells) focused = Array.prototype.indexOf.call(cells.children, document.activeElement);
    });
    document.addEventListener("htmx:oobAfterSwap", () => {
      const cells = deploy.querySelector(".cells");
      if (cells && focused >= 0 && cells.children[focused]) enter(cells, focused);
      focused = -1;
    });

    const enter = (cells, index) => {
      for (const cell of cells.querySelectorAll('[tabindex="0"]')) cell.tabIndex = -1;
      cells.children[index].tabIndex = 0;
      cells.children[index].focus();
    };
    deploy.addEventListener("keydown", (event) => {
      const cells = event.target.closest(".cells");
      if (!cells || event.altKey || event.ctrlKey || event.metaKey) return;
      const all = Array.from(cells.children);
      const at = all.indexOf(event.target);
      const top = all[0].offsetTop;
      const columns = all.findIndex((cell) => cell.offsetTop > top);
      const row = columns < 0 ? all.length : columns;
      const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -at, End: all.length - 1 - at };
      const to = at + (moves[event.key] || 0);
      if (!(event.key in moves) || !all[to]) return;
      event.preventDefault();
      enter(cells, to);
    });

    if (state().how === "wait") {
      const waiting = setInterval(() => {
        if (state().how === "wait") load();
        else clearInterval(waiting);
      }, WAIT_MS);
    }
    if (state().how === "events") listen();
    deploy.dataset.shown = state().position;
  };

  tick();
  local();
  setInterval(tick, 1000);
  const deploy = byId("deploy");
  if (deploy) follow(deploy);
  if (byId("overview")) overview();
})();

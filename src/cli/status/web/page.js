// Draws what the command says. It decides nothing: every word and every mark comes with the feed.
"use strict";

const SIGNS = { good: "✓", doubtful: "!", bad: "✗", moving: "~", idle: "–", none: "" };

// After so long without a word from the command, what is shown counts as old.
const SILENCE = 30_000;

const at = (id) => document.getElementById(id);

/** An element with a class, and with these inside, of which texts stay texts. */
const make = (tag, name, ...children) => {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
};

const sign = (mark) => {
  const element = make("span", "sign", SIGNS[mark]);
  element.setAttribute("aria-hidden", "true");
  return element;
};

/** A text that may be wrapped within long words: addresses, and names such as HoldingLastVerified. */
const wrappable = (tag, name, text) => {
  const element = make(tag, name);
  const parts = text.split(/(?<=[/:@-])(?=[^/:@-])|(?=\.)|(?<=[a-z])(?=[A-Z])/);
  for (const part of parts) element.append(part, make("wbr"));
  return element;
};

/** A sign, and the words for it. */
const state = (mark, words) => make("span", "state", sign(mark), wrappable("span", "", words));

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });

/** A time of the person's own clock, with the day where that is another one. */
const time = (stamp) => {
  const date = new Date(stamp);
  const clock = CLOCK.format(date);
  const isToday = DAY.format(date) === DAY.format(new Date());
  const element = make("time", "", isToday ? clock : `${DAY.format(date)}, ${clock}`);
  element.dateTime = stamp;
  return element;
};

let shown = null;
let opened = null;
const places = new Map();

/** A place of the picture: a button that opens what there is to know. */
const place = (node) => {
  const button = make(
    "button",
    `place ${node.mark}`,
    make("span", "caption", node.caption),
    wrappable("span", "name", node.title),
    state(node.mark, node.state),
  );
  button.type = "button";
  button.dataset.id = node.id;
  // The places where a name may be wrapped would be read out as spaces.
  button.setAttribute("aria-label", `${node.caption} ${node.title}: ${node.state}`);
  button.setAttribute("aria-haspopup", "dialog");
  button.addEventListener("click", () => show(node.id));
  const before = places.get(node.id);
  if (before && (before.state !== node.state || before.mark !== node.mark)) button.classList.add("changed");
  return button;
};

const list = (name, items) => make("ol", name, ...items.map((item) => make("li", "", item)));

const group = (group, number) => {
  const title = make("h2", "", group.title);
  title.id = `group-${number}`;
  // Where the ways lie one below the other, only the last one is seen to lead to the servers.
  const goes = group.servers.length > 0 ? `to ${group.title}, below` : "";
  const way = (flow) => make("li", "", list("way", flow.map(place)), goes && make("p", "goes", goes));
  const ways = make("ol", "ways", ...group.flows.map(way));
  const ends = make("div", "ends");
  if (group.servers.length > 0) ends.append(list("servers", group.servers.map(place)));
  if (group.pods.length > 0) ends.append(list("pods", group.pods.map(place)));
  if (group.morePods > 0) ends.append(make("p", "more", `and ${group.morePods} more pods`));
  const section = make("section", "group", title, make("div", "flow", ways, group.servers.length > 0 ? ends : null));
  section.setAttribute("aria-labelledby", title.id);
  return section;
};

const entry = (entry) => {
  const isAhead = new Date(entry.time) > new Date();
  return make(
    "li",
    `${entry.mark}${isAhead ? " ahead" : ""}`,
    time(entry.time),
    make("div", "", make("span", "what", sign(entry.mark), entry.title), make("span", "about", entry.about), make("p", "", entry.text)),
  );
};

const detail = (detail) =>
  make(
    "li",
    detail.mark,
    make("p", "what", sign(detail.mark), detail.title, detail.time ? time(detail.time) : null),
    detail.text ? make("p", "", detail.text) : null,
  );

/** Opens the details of a place. */
const show = (id) => {
  opened = id;
  drawDetails();
  if (!at("details").open) at("details").showModal();
};

const drawDetails = () => {
  const node = places.get(opened);
  if (!node) {
    at("details").close();
    return;
  }
  const title = `${node.caption} ${node.title}`;
  at("details").setAttribute("aria-label", title);
  const body = at("details-body");
  body.className = node.mark;
  body.replaceChildren(
    wrappable("h2", "", title),
    state(node.mark, node.state),
    ...(node.text ? [make("p", "text", node.text)] : []),
    make("ul", "", ...node.details.map(detail)),
  );
};

const placeOf = (id) => [...document.querySelectorAll(".place")].find((button) => button.dataset.id === id);

/** Draws the picture anew, with the focus where it was. */
const draw = (picture) => {
  const focused = document.activeElement?.dataset?.id;
  document.title = `${picture.summary || "Nothing to see"} · ${picture.place}`;
  at("place").textContent = picture.place;
  at("summary").className = picture.mark;
  at("summary").replaceChildren(...(picture.summary ? [sign(picture.mark), picture.summary] : []));
  at("remarks").replaceChildren(...picture.remarks.map((text) => make("p", "remark", text)));
  at("picture").replaceChildren(...picture.groups.map(group));
  places.clear();
  for (const each of picture.groups) {
    for (const node of [...each.flows.flat(), ...each.servers, ...each.pods]) places.set(node.id, node);
  }
  at("past").hidden = picture.timeline.length === 0;
  at("timeline").replaceChildren(...picture.timeline.map(entry));
  if (focused) placeOf(focused)?.focus();
  if (at("details").open) drawDetails();
};

let read = null;
let watchdog = null;

/** Says how new the picture is. */
const tell = (mark, words) => {
  const live = at("live");
  if (live.className !== mark || live.textContent !== SIGNS[mark] + words) {
    live.className = mark;
    live.replaceChildren(sign(mark), words);
  }
  at("read").replaceChildren(...(read ? [time(read)] : []));
};

const silence = () => tell("bad", "The command has ended or does not answer. Shown is what was so at ");

const listen = () => {
  const feed = new EventSource("feed");
  feed.addEventListener("message", (message) => {
    const news = JSON.parse(message.data);
    clearTimeout(watchdog);
    watchdog = setTimeout(silence, SILENCE);
    read = news.read;
    const picture = JSON.stringify(news.picture);
    if (picture !== shown) draw(news.picture);
    shown = picture;
    if (news.obstacle) tell("bad", `${news.obstacle} Shown is what was so at `);
    else tell("good", "Live, as of ");
  });
  feed.addEventListener("error", silence);
};

at("details").addEventListener("close", () => {
  // The browser gives the focus back by itself, unless the picture has been drawn anew.
  if (!document.activeElement?.classList.contains("place")) placeOf(opened)?.focus();
  opened = null;
});
at("details").addEventListener("click", (click) => {
  // Beside the panel.
  if (click.target === at("details")) at("details").close();
});
listen();

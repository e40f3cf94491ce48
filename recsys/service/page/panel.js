// The side panel: what is kept of the person, what served, what decides a list.

import {at, make, pairs, show} from "./dom.js";

const FACTS = {
  age: "Age",
  gender: "Gender",
  location: "Location",
  occupation: "Occupation",
  consent_personalization: "Agreed to a list of your own",
  consent_analytics: "Agreed to measurement",
  do_not_sell: "Do not sell",
};
const EVENTS = {
  view: "watched", like: "liked", dislike: "skipped", click: "opened", rating: "rated", share: "shared", save: "saved",
  add_to_cart: "put in the cart", purchase: "bought",
};
const STEPS = {
  no_state: "yes: your history could not be read",
  no_model: "yes: no model can be used",
  deadline: "yes: the list took too long, so one that was ready came",
  overload: "yes: too many requests at once",
};
const N_EVENTS = 8;
const service = new Map([
  ["Version of the list", "–"], ["Version that serves", "–"], ["Degraded", "–"], ["Last list", "–"],
  ["Last request", "–"],
]);

const write = (name, value) => {
  service.set(name, value);
  pairs(at("service"), [...service]);
};

const plain = (value) => (value === true ? "yes" : value === false ? "no" : value === null ? "not known" : value);

export const ms = (duration) => `${duration < 10 ? duration.toFixed(1) : Math.round(duration)} ms`;

export const showRequest = (name, duration) => {
  if (name.endsWith("/recommendations")) write("Last list", ms(duration));
  write("Last request", `${ms(duration)}, ${name.replace(/\/users\/[^/]+/, "/users/…").replace(/\/items\/[^/]+/, "/items/…")}`);
};

export const showAnswer = (answer) => {
  write("Version of the list", answer.bundle_version);
  write("Degraded", answer.degraded ? STEPS[answer.degraded] || `yes: ${answer.degraded}` : "no");
  if (answer.experiment) write("Experiment", `${answer.experiment.name}, ${answer.experiment.arm}`);
};

export const showReadiness = (readiness) => {
  write("Version that serves", readiness.bundle_version || "–");
  if (readiness.refused_swap) write("Newer version refused", readiness.refused_swap);
};

export const showParameters = (told) => {
  pairs(at("parameters"), told.parameters.map((each) => [each.name, `${each.description}. ${each.how_to_change}`]));
  at("without").textContent = told.without_profiling;
};

// `tables` is null where nothing is kept, or where it may not be read, as `note` then says.
export const showKnown = (tables, titles, note = "") => {
  const told = tables || {};
  const events = (told.events || []).filter((each) => each.event !== "impression");
  const n_shown = (told.events || []).length - events.length;
  const rows = (told.facts || []).map((each) => [FACTS[each.name] || each.name, plain(each.value)]);
  const since = (told.users || [])[0]?.signed_up_at;
  if (since) rows.push(["Here since", new Date(since).toLocaleDateString("en", {dateStyle: "medium"})]);
  if (n_shown) rows.push(["Items shown to you", n_shown]);
  pairs(at("facts"), rows);
  at("knows-note").textContent = note || (rows.length || events.length ? "" : "Nothing.");
  const latest = [...events].sort((one, other) => (one.timestamp < other.timestamp ? 1 : -1)).slice(0, N_EVENTS);
  at("events").replaceChildren(...latest.map((each) =>
    make("li", {}, `${EVENTS[each.event] || each.event} ${titles.get(each.item_id) || each.item_id}`)));
  if (!latest.length) at("events").append(make("li", {class: "note"}, "None."));
};

export const showPerson = (person) => {
  at("who").textContent = person ? `You are ${person}` : "Nobody is chosen";
  show("leave", Boolean(person));
  show("choose", !person);
  show("knows", Boolean(person));
};

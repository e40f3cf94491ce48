// The page's state and what each button does. Actions run one after another, so that each list knows of all before it.

import {call, idIn, onRequest, ServiceError, useKey} from "./api.js";
import {ANSWERS, DONE, fill, itemCard, nameOf, questionCard, similarRow} from "./cards.js";
import {at, make, show} from "./dom.js";
import {showAnswer, showKnown, showParameters, showPerson, showReadiness, showRequest} from "./panel.js";

const N_ITEMS = 12;
const N_SIMILAR = 6;
const N_QUESTIONS = 3;
const MOST_EXCLUDED = 1000;
const NEWS_MS = 8000;
const NO_PERSON = {id: null, agreed: null, demographics: {}, done: [], answers: {}, asks: false};

let person = {...NO_PERSON};
let profiling = false;
let served = null; // the version of the last list
let explained = null; // the version whose parameters are shown
let waiting = Promise.resolve();
let newsTimer = 0;
const titles = new Map();

const tell = (text) => {
  at("news").textContent = text;
  clearTimeout(newsTimer);
  newsTimer = setTimeout(() => at("news").textContent = "", NEWS_MS);
};

const complain = (error) => {
  if (!(error instanceof ServiceError)) throw error;
  at("problem-text").textContent = error.message;
  show("problem", true);
  if (error.status === 401 || error.status === 403) show("key-form", true);
};

const inTurn = (task) => {
  const mine = person;
  waiting = waiting.then(async () => {
    if (mine !== person) return; // another person was chosen meanwhile
    show("problem", false);
    at("cards").setAttribute("aria-busy", "true");
    try {
      await task();
    } catch (error) {
      complain(error);
    } finally {
      at("cards").removeAttribute("aria-busy");
    }
  });
  return waiting;
};

// Where no consent is recorded, the service decides, and its answer shows how.
const hasAgreed = () => (person.agreed === null ? profiling : person.agreed);

const path = (after = "") => idIn("v1/users/", person.id, after);

// The list

const refresh = async () => {
  const wanted = {k: N_ITEMS, explain: true};
  if (person.id === null) wanted.profiling = false;
  else Object.assign(wanted, {user_id: person.id, exclude_ids: person.done.slice(-MOST_EXCLUDED)});
  const answer = await call("POST", "v1/recommendations", wanted);
  profiling = answer.profiling;
  served = answer.bundle_version;
  showAnswer(answer);
  for (const item of answer.items) titles.set(item.item_id, item.title);
  const before = new Set([...at("cards").children].map((each) => each.dataset.item));
  const act = person.id === null ? null : (item, event) => record(item, event, answer.request_id);
  const cards = answer.items.map((item) => itemCard(item, act, showSimilar));
  for (const card of cards) if (before.size && !before.has(card.dataset.item)) card.classList.add("fresh");
  fill(at("cards"), cards, at("list-title"));
  showListWords(answer);
  return cards.filter((each) => !before.has(each.dataset.item)).length;
};

const showListWords = (answer) => {
  at("list-title").textContent = profiling ? "Chosen for you" : "Popular and new";
  at("list-note").textContent = answer.items.length ? listWords(answer) : `${listWords(answer)} Nothing is left to show.`;
};

const listWords = (answer) => {
  if (profiling) return "Made of what you told and did. Each like, skip or watch changes it.";
  if (person.id === null) return "The same for everybody. Choose who you are to like, skip and watch.";
  if (answer.degraded) return "The service could not make your own list just now, so this is what is popular and new.";
  if (person.agreed) return "Your other choices do not allow a list of your own, so this is what is popular and new.";
  return "You have not agreed to a list of your own, so this is what is popular and new, the same for everybody. "
    + "Nothing of what you do here is kept; items that you deal with leave the list until you close this page.";
};

const readKnown = async () => {
  try {
    const {tables} = await call("GET", path("/export"));
    const facts = Object.fromEntries((tables.facts || []).map((each) => [each.name, each.value]));
    if ("consent_personalization" in facts) person.agreed = facts.consent_personalization;
    for (const name of ["age", "gender", "location", "occupation"]) {
      if (facts[name]) person.demographics[name] = facts[name];
    }
    showKnown(tables, titles);
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    showKnown(null, titles, error.status === 404 ? "Nothing." : error.message);
  }
};

const readService = async () => {
  try {
    showReadiness(await call("GET", "readyz"));
  } catch (error) {
    showReadiness({bundle_version: null, refused_swap: error.message});
  }
  if (explained === served) return; // what decides a list changes with the version alone
  showParameters(await call("GET", "v1/parameters"));
  explained = served;
};

const refreshAll = async () => {
  const n_new = await refresh();
  if (person.id !== null) await readKnown();
  await readService();
  const agreed = hasAgreed();
  at("consent-note").textContent = profiling
    ? "You have not said, and this service then makes a list of your own all the same. You can object at any time."
    : "Until you agree, nothing of that is kept, and the list is what is popular and new, the same for everybody.";
  show("consent", person.id !== null && person.agreed !== true);
  show("withdraw", person.id !== null && agreed);
  show("questions", person.id !== null && agreed && person.asks);
  show("ask", person.id !== null && agreed && !person.asks);
  return n_new;
};

const changed = (n_new) => (n_new ? `The list has ${n_new} new ${n_new === 1 ? "item" : "items"}.` : "");

// What a person does with an item

const post = (item, event, request_id) => {
  const row = {event_id: crypto.randomUUID(), user_id: person.id, item_id: item.item_id, event,
    timestamp: new Date().toISOString()};
  if (request_id) Object.assign(row, {request_id, position: item.rank, propensity: item.propensity});
  return call("POST", "v1/events", row);
};

const record = (item, event, request_id) => inTurn(async () => {
  await post(item, event, request_id);
  person.done.push(item.item_id);
  const n_new = await refreshAll();
  const kept = hasAgreed() ? "" : "Nothing of it was kept, as you have not agreed.";
  tell([`${DONE[event]} ${nameOf(item)}.`, kept, changed(n_new)].filter(Boolean).join(" "));
});

const showSimilar = (item) => inTurn(async () => {
  const {items} = await call("GET", idIn("v1/items/", item.item_id, `/similar?k=${N_SIMILAR}`));
  at("similar-title").textContent = `Similar to ${nameOf(item)}`;
  for (const each of items) titles.set(each.item_id, each.title);
  const act = person.id === null ? null : (each, event) => record(each, event, null);
  const rows = items.map((each) => similarRow(each, act));
  at("similar-items").replaceChildren(...(rows.length ? rows : [make("li", {}, "Nothing is like it.")]));
  at("similar").showModal();
});

// Onboarding

const ask = async () => {
  const answered = Object.keys(person.answers).length;
  const found = answered
    ? await call("POST", "v1/onboarding",
      {answers: person.answers, demographics: person.demographics, user_id: person.id, n: N_QUESTIONS})
    : await call("GET", `v1/onboarding?${new URLSearchParams({...person.demographics, n: N_QUESTIONS})}`);
  for (const each of found.questions) titles.set(each.item_id, each.title);
  fill(at("question-cards"), found.questions.map((each) => questionCard(each, answer)), at("list-title"));
  at("answered").textContent = answered ? `${answered} answered so far.` : "";
  person.asks = found.questions.length > 0;
};

const answer = (question, opinion) => inTurn(async () => {
  person.answers[question.item_id] = opinion;
  person.done.push(question.item_id);
  try {
    await ask();
  } catch (error) {
    delete person.answers[question.item_id];
    person.done.pop();
    throw error;
  }
  const n_new = await refreshAll();
  tell(`${ANSWERS[opinion]}: ${nameOf(question)}. ${changed(n_new)}`.trim());
});

// Persons and their rights

const become = (next) => {
  person = {...NO_PERSON, demographics: {}, done: [], answers: {}, ...next};
  at("cards").replaceChildren();
  at("question-cards").replaceChildren();
  showPerson(person.id);
  for (const id of ["consent", "questions", "withdraw", "ask"]) show(id, false);
  if (person.id !== null) {
    if (![...at("users").children].some((each) => each.value === person.id)) {
      at("users").append(make("option", {value: person.id}));
    }
    showKnown(null, titles);
  }
};

const create = async () => {
  const form = new FormData(at("create-form"));
  const demographics = Object.fromEntries([...form].map(([name, value]) => [name, value.trim()]).filter(([, v]) => v));
  const id = `person-${crypto.randomUUID().slice(0, 8)}`;
  await call("PUT", idIn("v1/users/", id), {demographics, signed_up_at: new Date().toISOString()});
  become({id, demographics});
  await refreshAll();
  at("create-form").reset();
  at("agree").focus();
  tell(`You are ${id}.`);
};

const open = async () => {
  become({id: at("user").value.trim()});
  await refreshAll();
  at("open-form").reset();
  at("list-title").focus();
  tell(`You are ${person.id}.`);
};

const agree = async () => {
  const consent = {personalization: true, analytics: at("analytics").checked, do_not_sell: at("do-not-sell").checked};
  await call("PUT", path("/consent"), consent);
  Object.assign(person, {agreed: true, done: []});
  await ask();
  await refreshAll();
  at(person.asks ? "questions-title" : "list-title").focus();
  tell("You agreed. From now on the list is your own.");
};

const askAgain = async () => {
  await ask();
  await refreshAll();
  if (person.asks) at("questions-title").focus();
  else tell("There is nothing left to ask.");
};

const withdraw = async () => {
  await call("PUT", path("/consent"), {personalization: false, analytics: false, do_not_sell: true});
  Object.assign(person, {agreed: false, answers: {}, asks: false, done: []});
  await refreshAll();
  at("list-title").focus();
  tell("You withdrew your consent. The list is what is popular and new again.");
};

const exportAll = async () => {
  const found = await call("GET", path("/export"));
  at("exported-json").textContent = JSON.stringify(found, null, 2);
  at("exported").showModal();
};

const erase = async () => {
  at("erasing").close();
  const {receipt_id} = await call("DELETE", path());
  [...at("users").children].find((each) => each.value === person.id)?.remove();
  become({});
  await refreshAll();
  at("choose-title").tabIndex = -1;
  at("choose-title").focus();
  tell(`You are erased. The receipt is ${receipt_id}.`);
};

const leave = async () => {
  become({});
  await refreshAll();
  at("age").focus();
};

const onClick = (id, task) => at(id).addEventListener("click", () => inTurn(task));
const onSubmit = (id, task) => at(id).addEventListener("submit", (event) => {
  event.preventDefault();
  inTurn(task);
});

onRequest(showRequest);
onSubmit("create-form", create);
onSubmit("open-form", open);
onSubmit("key-form", async () => {
  useKey(at("key").value.trim());
  at("key-form").reset();
  show("problem", false);
  show("key-form", false);
  await refreshAll();
});
onClick("agree", agree);
onClick("ask", askAgain);
onClick("withdraw", withdraw);
onClick("export", exportAll);
onClick("erase-now", erase);
onClick("leave", leave);
at("erase").addEventListener("click", () => at("erasing").showModal());
at("problem-close").addEventListener("click", () => {
  show("problem", false);
  at("list-title").focus();
});
at("questions-close").addEventListener("click", () => {
  person.asks = false;
  show("questions", false);
  show("ask", true);
  at("list-title").focus();
});
inTurn(refreshAll);

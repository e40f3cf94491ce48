// Cards of items and questions.

import {button, make} from "./dom.js";

const SOURCES = {
  model: "from what you did",
  cold_start: "while little is known",
  exploration: "to try something else",
  fallback: "popular and new",
};
export const DONE = {like: "Liked", dislike: "Skipped", view: "Watched"};
export const ANSWERS = {like: "Like", dislike: "Don’t like", unknown: "Don’t know"};
const ACTIONS = {like: "Like", dislike: "Skip", view: "Watch"};

export const nameOf = (item) => item.title || item.item_id;

// `act` is null where no person is chosen: events are always of somebody.
export const itemCard = (item, act, similar) => {
  const name = nameOf(item);
  const actions = act
    ? Object.entries(ACTIONS).map(([event, word]) =>
        button(word, `${word}: ${name}`, () => act(item, event), {"data-action": event}))
    : [];
  actions.push(button("Similar", `Similar to ${name}`, () => similar(item), {"data-action": "similar"}));
  return make("li", {class: "card", "data-item": item.item_id},
    make("h3", {}, name),
    make("p", {class: "reason"}, item.reason || ""),
    make("p", {class: "source"}, make("span", {class: "tag"}, SOURCES[item.source] || item.source), ` ${item.item_id}`),
    make("div", {class: "actions", role: "group", "aria-label": name}, ...actions));
};

export const questionCard = (question, answer) => {
  const name = nameOf(question);
  const actions = Object.entries(ANSWERS).map(([opinion, word]) =>
    button(word, `${word}: ${name}`, () => answer(question, opinion), {"data-action": opinion}));
  return make("li", {class: "card", "data-item": question.item_id},
    make("h3", {}, name),
    make("div", {class: "actions", role: "group", "aria-label": name}, ...actions));
};

export const similarRow = (item, act) => {
  const row = make("li", {class: "row"}, make("span", {}, nameOf(item)));
  const done = (event) => {
    act(item, event);
    row.replaceChildren(make("span", {}, nameOf(item)), make("span", {class: "tag"}, DONE[event]));
    row.closest("dialog").querySelector("form button").focus();
  };
  if (act) {
    row.append(make("span", {class: "actions"}, ...["like", "view"].map((event) =>
      button(ACTIONS[event], `${ACTIONS[event]}: ${nameOf(item)}`, () => done(event)))));
  }
  return row;
};

// Replace the cards of a list; the focus stays on the same button, or on that of the card in the same place.
export const fill = (list, cards, fallback) => {
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const card = focused && focused.closest(".card");
  const place = card ? [...list.children].indexOf(card) : -1;
  list.replaceChildren(...cards);
  if (!focused) return;
  const same = cards.find((each) => each.dataset.item === card.dataset.item) || cards[Math.min(place, cards.length - 1)];
  const target = same && same.querySelector(`[data-action="${focused.dataset.action}"]`);
  (target || fallback).focus();
};

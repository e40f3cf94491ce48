// Requests to the service: the API key in memory, the time that each took, and errors in words.

let key = "";
let heard = () => {};

export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export const useKey = (text) => {
  key = text;
};

export const onRequest = (listener) => {
  heard = listener;
};

export const call = async (method, path, body) => {
  const headers = {};
  if (key) headers["X-API-Key"] = key;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const started = performance.now();
  let response;
  let text;
  try {
    const options = {method, headers, credentials: "omit", redirect: "error"};
    if (body !== undefined) options.body = JSON.stringify(body);
    response = await fetch(path, options);
    text = await response.text();
  } catch {
    throw new ServiceError("The service cannot be reached. Check that it runs, then try again.", 0);
  } finally {
    heard(`${method} /${path.split("?")[0]}`, performance.now() - started);
  }
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // an error of something between this page and the service may be no JSON
  }
  if (response.ok && answer !== null) return answer;
  throw new ServiceError(words(response, answer), response.status);
};

export const idIn = (before, id, after = "") => before + encodeURIComponent(id) + after;

const words = (response, problem) => {
  if (!problem || typeof problem.detail !== "string") return `The service answered with the status ${response.status}.`;
  const places = (problem.errors || []).map((each) => {
    const place = each.parameter || each.pointer;
    return place ? `${place}: ${each.detail}.` : each.detail;
  });
  const wait = response.headers.get("retry-after");
  const again = wait ? `Try again in ${wait} ${wait === "1" ? "second" : "seconds"}.` : "";
  const detail = wait ? problem.detail.replace(/ ?Try again\.$/, "") : problem.detail;
  return [detail, ...places, again].filter(Boolean).join(" ");
};
